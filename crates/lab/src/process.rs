//! A program that runs in a host for as long as its guard lives, and is waited for until it is ready.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Result;
use crate::error::{Doing, LabError};
use crate::host::Host;

/// How long a server may take until it listens.
pub const READY_WITHIN: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(3);
/// How long a program may take to end by itself when asked to.
const END_WITHIN: Duration = Duration::from_secs(2);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A transport a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A running program. Dropping it ends it and all that it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a command made by [`Host::command`]. What it prints goes to a log file in the lab's directory.
    ///
    /// # Errors
    /// [`LabError::Io`] when it cannot be started.
    pub fn start(host: &Host, name: &str, command: &mut Command) -> Result<Process> {
        let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
        let log = host.work_dir().join(format!("{name}-{}-{serial}.log", std::process::id()));
        let file = File::create(&log).doing(|| format!("making {}", log.display()))?;
        let copy = file.try_clone().doing(|| "sharing a log file".into())?;
        // A group of its own: its children end with it, and Ctrl-C reaches it through us, in our order.
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let child = command.spawn().doing(|| format!("starting {name}"))?;
        Ok(Process { child, name: name.to_owned(), log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until it listens on a port, without connecting to it.
    ///
    /// # Errors
    /// [`LabError::NotReady`] with its log.
    pub fn wait_listening(&mut self, transport: Transport, port: u16) -> Result<()> {
        let id = self.id();
        self.wait_until(READY_WITHIN, &format!("it does not listen on {transport:?} port {port}"), |_| {
            listens(id, transport, port)
        })
    }

    /// Waits until its log contains a text.
    ///
    /// # Errors
    /// [`LabError::NotReady`] with its log.
    pub fn wait_log(&mut self, text: &str) -> Result<()> {
        self.wait_until(READY_WITHIN, &format!("its log lacks `{text}`"), |log| {
            fs::read(log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(text))
        })
    }

    fn wait_until(&mut self, patience: Duration, missing: &str, ready: impl Fn(&Path) -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if ready(&self.log) {
                return Ok(());
            }
            let ended = self.child.try_wait().doing(|| format!("watching {}", self.name))?;
            let why = match ended {
                Some(status) => format!("it ended ({status})"),
                None if start.elapsed() >= patience => missing.to_owned(),
                None => {
                    std::thread::sleep(POLL_EVERY);
                    continue;
                }
            };
            return Err(LabError::NotReady {
                name: self.name.clone(),
                waited: start.elapsed(),
                why,
                log: self.log(),
            });
        }
    }

    /// Sends a signal to it, and to it alone.
    ///
    /// # Errors
    /// [`LabError::Io`] when it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        nix::sys::signal::kill(self.pid(), signal).doing(|| format!("signalling {}", self.name))
    }

    /// Asks it to end with a signal, and insists when it does not.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let _ = self.signal(signal);
        self.wait(END_WITHIN)
    }

    /// Waits for its end, and insists on it when that takes longer.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.reap(patience).doing(|| format!("waiting for {}", self.name))
    }

    fn reap(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL_EVERY);
        }
        self.child.kill()?;
        self.child.wait()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group is ours as long as its leader is not reaped; what it started may outlive it.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(self.pid(), Signal::SIGTERM);
            let _ = self.reap(END_WITHIN);
            let _ = killpg(self.pid(), Signal::SIGKILL);
        }
    }
}

/// Whether some socket listens on a port in the network namespace of a process.
fn listens(pid: u32, transport: Transport, port: u16) -> bool {
    // See proc_pid_net(5). A listening TCP socket is in state 0A, an unconnected UDP one in 07.
    let (files, state) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], "0A"),
        Transport::Udp => (["udp", "udp6"], "07"),
    };
    let port = format!(":{port:04X}");
    files.iter().any(|file| {
        fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default().lines().skip(1).any(
            |line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().unwrap_or_default();
                local.ends_with(&port) && fields.nth(1) == Some(state)
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_listener_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = std::process::id();
        assert!(listens(pid, Transport::Tcp, port));
        assert!(!listens(pid, Transport::Udp, port));
        drop(listener);
        assert!(!listens(pid, Transport::Tcp, port));
    }
}
