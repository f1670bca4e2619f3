//! A lab with `bypath serve` on its near host and clients on its far one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use bypath_lab::{Host, Lab, Pattern, Process};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than any answer takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A running server and its clients' host. All of it goes with the test.
pub(crate) struct Shop {
    process: Process,
    document: PathBuf,
    pub(crate) lab: Lab,
    /// What it serves.
    pub(crate) dir: TempDir,
    /// Where clients run.
    pub(crate) here: TempDir,
}

/// Bytes of a file.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Pattern::new(len as u64).fill(0, &mut bytes);
    bytes
}

impl Shop {
    /// Serves a new directory, after `fill` has put something there. `args` may name it `DIR`.
    pub(crate) fn open(args: &[&str], fill: impl FnOnce(&Path)) -> Shop {
        Self::open_on(Lab::builder(), args, fill)
    }

    pub(crate) fn open_on(lab: bypath_lab::LabBuilder, args: &[&str], fill: impl FnOnce(&Path)) -> Shop {
        let lab = lab.name_prefix("sv").up().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let here = tempfile::tempdir().unwrap();
        fill(dir.path());
        let document = here.path().join("served.json");
        let mut command = lab.near().command(env!("CARGO_BIN_EXE_bypath")).unwrap();
        command.args(["serve", "--dev", lab.near().interface(), "--max-time", "100"]);
        command.arg(format!("--json={}", document.display()));
        command.args(args.iter().map(|arg| arg.replace("DIR", dir.path().to_str().unwrap())));
        let mut process = Process::start(lab.near(), "serve", &mut command).unwrap();
        process.wait_log("\non ").unwrap();
        Shop { process, document, lab, dir, here }
    }

    pub(crate) fn far(&self) -> &Host {
        self.lab.far()
    }

    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        self.lab.near().at(port)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    /// A client's command on the far host, in its own directory; HOST and HOST6 in its arguments are the server.
    pub(crate) fn client(&self, program: &str, args: &[&str]) -> Command {
        let (v4, v6) = (self.lab.near().ipv4().to_string(), format!("[{}]", self.lab.near().ipv6()));
        let mut command = self.far().command(program).unwrap();
        command.current_dir(self.here.path());
        command.args(args.iter().map(|arg| arg.replace("HOST6", &v6).replace("HOST", &v4)));
        command
    }

    pub(crate) fn output(&self, program: &str, args: &[&str]) -> Output {
        self.client(program, args).output().unwrap()
    }

    /// Runs a client that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Vec<u8> {
        let output = self.output(program, args);
        assert!(output.status.success(), "{program} {args:?}: {output:?}\n{}", self.process.log());
        output.stdout
    }

    #[track_caller]
    pub(crate) fn text(&self, program: &str, args: &[&str]) -> String {
        String::from_utf8(self.run(program, args)).unwrap()
    }

    /// A kernel connection from the far host.
    pub(crate) fn dial(&self, port: u16) -> TcpStream {
        let to = self.at(port);
        let stream = self.far().run(move || TcpStream::connect_timeout(&to, LONG).unwrap()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Ends the server in order, and returns its document.
    #[track_caller]
    pub(crate) fn close(mut self) -> Value {
        let status = self.process.end(Signal::SIGINT).unwrap();
        let log = self.process.log();
        assert_eq!(status.code(), Some(0), "{log}");
        let document = std::fs::read(&self.document).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(document["state"], "complete", "{document:#}");
        document
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// Sends all, closes that direction, and returns what comes until the other end closes.
pub(crate) fn exchange(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}
