//! A desk on the near host of a lab, where `bypath get` runs over the engine, and what it leaves there.
//!
//! Every lab has a name of its own and goes with its test, also when the test panics.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bypath_lab::{Host, Lab, Pattern, tool};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Longer than anything here takes: a test that waits for it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A lab, a directory for its servers to serve, and one to run in.
pub(crate) struct Desk {
    here: TempDir,
    served: TempDir,
    pub(crate) lab: Lab,
}

/// What a run of the command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The exit code must be the one in the document, and stdout must be that document and nothing else.
    pub(crate) fn of(output: &Output) -> Outcome {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let json: Value = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("no JSON document ({error}): {stdout:?}, stderr {stderr:?}"));
        let code = output.status.code();
        if json.is_object() {
            assert_eq!(json["exit_code"].as_i64(), code.map(i64::from), "{json:#}");
        }
        Outcome { code, json, stderr }
    }

    pub(crate) fn error(&self) -> &str {
        self.json["error"].as_str().unwrap_or_default()
    }

    /// Asserts a failure with this exit code, told in these words.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.error().contains(word), "{word:?} is not in {:?}", self.error());
        }
    }

    /// Asserts that the whole content came.
    #[track_caller]
    pub(crate) fn fetched(&self, content: &Content) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.json["sha256"], content.sha256.as_str(), "{self:#?}");
    }
}

/// A file that a server has.
pub(crate) struct Content {
    pub(crate) len: u64,
    pub(crate) sha256: String,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk::in_lab(Lab::builder().name_prefix("g").up().unwrap())
    }

    pub(crate) fn in_lab(lab: Lab) -> Desk {
        Desk { here: tempfile::tempdir().unwrap(), served: tempfile::tempdir().unwrap(), lab }
    }

    pub(crate) fn near(&self) -> &Host {
        self.lab.near()
    }

    pub(crate) fn far(&self) -> &Host {
        self.lab.far()
    }

    /// The directory to serve.
    pub(crate) fn served(&self) -> &Path {
        self.served.path()
    }

    /// Puts a file there.
    pub(crate) fn serve(&self, name: &str, len: usize) -> Content {
        let mut bytes = vec![0; len];
        Pattern::new(len as u64).fill(0, &mut bytes);
        std::fs::write(self.served().join(name), &bytes).unwrap();
        Content { len: len as u64, sha256: format!("{:x}", Sha256::digest(&bytes)) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    /// The names of the files that are here.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.here.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn v4(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}/{path}", self.far().ipv4())
    }

    pub(crate) fn v6(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://[{}]/{path}", self.far().ipv6())
    }

    /// `bypath get` over the engine on the near host's interface.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
        command
            .current_dir(self.here.path())
            .args(["get", "--netns", self.near().netns(), "--dev", self.near().interface()])
            .args(["--max-time", "50", "--json", "--sha256"])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn get(&self, args: &[&str]) -> Outcome {
        Outcome::of(&self.command(args).output().unwrap())
    }

    /// Starts it, to do something meanwhile.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child: Some(child) }
    }

    /// Waits until a file here has so many bytes.
    pub(crate) fn wait_for_len(&self, name: &str, len: u64) {
        let path = self.path(name);
        wait_until(name, || std::fs::metadata(&path).is_ok_and(|meta| meta.len() >= len));
    }

    /// What is attached to the near interface, as `ip link` shows it.
    pub(crate) fn link(&self) -> String {
        tool::run("ip", &["-n", self.near().netns(), "link", "show", "dev", self.near().interface()]).unwrap()
    }

    /// Asserts that the interface is the kernel's alone, and works.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        wait_until("the interface to be free of XDP", || !self.link().contains("xdp"));
        self.near().ping(self.far().ipv4().into(), LONG).unwrap();
        self.near().ping(self.far().ipv6().into(), LONG).unwrap();
    }
}

/// A `bypath get` that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Option<Child>,
}

impl Running {
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        tool::run("kill", &[name, &pid]).unwrap();
    }

    pub(crate) fn outcome(self) -> Outcome {
        Outcome::of(&self.output())
    }

    pub(crate) fn output(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for something that must come.
#[track_caller]
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LONG, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
