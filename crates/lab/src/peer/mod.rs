//! Servers that somebody else wrote, set up for one test: their configuration lives in the lab's directory
//! and goes with it; nothing of the machine's own configuration is read or changed.

mod dnsmasq;
mod nginx;
mod vsftpd;

pub use dnsmasq::{Dnsmasq, DnsmasqBuilder};
pub use nginx::{Nginx, NginxBuilder};
pub use vsftpd::{Vsftpd, VsftpdBuilder};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Result;
use crate::error::Doing;
use crate::host::Host;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory for one server.
fn directory(host: &Host, name: &str) -> Result<PathBuf> {
    let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
    let dir = host.work_dir().join(format!("{name}-{}-{serial}", std::process::id()));
    fs::create_dir_all(&dir).doing(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().doing(|| format!("looking for {}", path.display()))
}
