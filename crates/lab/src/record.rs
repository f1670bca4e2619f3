//! What is written down about a lab under `/run/bypath`, so that another process can find and remove it.
//!
//! A record names its owner. When the owner is gone (killed, crashed) the next lab that is made
//! removes what it left.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{Doing, LabError};

/// Where labs are written down.
pub const STATE_DIR: &str = "/run/bypath";

/// One host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The name of its network namespace, as `ip netns` knows it.
    pub netns: String,
    /// Its interface.
    pub interface: String,
    /// The interface's MAC address, written with colons.
    pub mac: String,
    /// Its IPv4 address; the network is a /24.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address; the network is a /64.
    pub ipv6: Ipv6Addr,
}

/// The process that a lab belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: tells it from a later process of the same id.
    pub started: u64,
}

/// A lab as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabRecord {
    /// The lab's name.
    pub name: String,
    /// Who removes it; `None` for a lab that stays until `bypath lab down`.
    pub owner: Option<Owner>,
    /// The MTU of the wire in bytes.
    pub mtu: u32,
    /// Receive and transmit queues of each interface.
    pub queues: u32,
    /// Whether the kernel's offloads were left on.
    pub offloads: bool,
    /// Whether received segments are merged.
    #[serde(default)]
    pub gro: bool,
    /// The namespace of the box in between, when there is one.
    pub middle: Option<String>,
    /// The host that tests and the engine stand on.
    pub near: HostRecord,
    /// The host that the peers run on.
    pub far: HostRecord,
}

impl LabRecord {
    /// The lab of that name.
    ///
    /// # Errors
    /// [`LabError::NoSuchLab`], or [`LabError::Io`] when its record cannot be read.
    pub fn load(name: &str) -> Result<LabRecord> {
        check_name(name)?;
        let path = record_path(name);
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes).doing(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LabError::NoSuchLab { name: name.to_owned() })
            }
            Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        }
    }

    /// Every lab that is written down, by name.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn all() -> Result<Vec<LabRecord>> {
        let entries = match fs::read_dir(STATE_DIR) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).doing(|| format!("reading {STATE_DIR}")),
        };
        let mut records: Vec<LabRecord> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
            .filter_map(|path| parse(&fs::read(path).ok()?).ok())
            .collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Whether its namespaces exist.
    pub fn is_up(&self) -> bool {
        [&self.near.netns, &self.far.netns].into_iter().all(|netns| netns_path(netns).exists())
    }

    /// Whether it belongs to a process that no longer runs.
    pub fn is_abandoned(&self) -> bool {
        self.owner.is_some_and(|owner| started(owner.pid) != Some(owner.started))
    }

    pub(crate) fn save(&self) -> Result<()> {
        let path = record_path(&self.name);
        let text = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .doing(|| "writing down the lab".into())?;
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }
}

fn parse(bytes: &[u8]) -> io::Result<LabRecord> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}

/// The record's owner that stands for this process.
pub(crate) fn this_process() -> Owner {
    let pid = std::process::id();
    Owner { pid, started: started(pid).unwrap_or(0) }
}

/// When a process started: field 22 of `/proc/PID/stat`, see proc_pid_stat(5).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

pub(crate) fn record_path(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(format!("{name}.json"))
}

/// The directory for configuration and logs of what runs in a lab; it goes with the lab.
pub(crate) fn work_dir(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(name)
}

pub(crate) fn netns_path(netns: &str) -> PathBuf {
    Path::new("/run/netns").join(netns)
}

/// Making and removing labs happens one at a time on a machine: `ip netns add` races with itself when
/// it first mounts `/run/netns`, and a sweep must not meet a lab that is half made.
pub(crate) fn lock() -> Result<Flock<File>> {
    fs::create_dir_all(STATE_DIR).doing(|| format!("making {STATE_DIR}"))?;
    let path = Path::new(STATE_DIR).join("lock");
    let file = File::create(&path).doing(|| format!("opening {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .doing(|| format!("locking {}", path.display()))
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    let sound = (1..=40).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if sound { Ok(()) } else { Err(LabError::BadName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_that_this_process_runs_and_an_older_one_does_not() {
        let owner = this_process();
        assert_eq!(started(owner.pid), Some(owner.started));
        assert_ne!(started(owner.pid), Some(owner.started.wrapping_sub(1)));
    }

    #[test]
    fn refuses_names_that_would_leave_the_directory() {
        for bad in ["", "../etc", "a/b", "-n", "a b", &"x".repeat(41)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("bypath-2").is_ok());
    }
}
