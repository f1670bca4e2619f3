//! The files of the demo and their SHA-256, which a program computes that has nothing to do with us.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use bypath_lab::Pattern;
use tempfile::TempDir;

use crate::error::{Result, io};
use crate::programs::Stop;

/// Makes a file of a pattern, unless it is there already.
pub(crate) fn make(path: &Path, seed: u64, len: u64) -> Result<()> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() == len) {
        return Ok(());
    }
    let what = format!("making {}", path.display());
    let mut file = File::create(path).map_err(io(&what))?;
    std::io::copy(&mut Pattern::new(seed).reader(len), &mut file).map_err(io(&what))?;
    Ok(())
}

pub(crate) fn sha256(stop: &Stop, path: &Path) -> Result<String> {
    let printed = stop.run(Command::new("sha256sum").arg(path))?;
    Ok(printed.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Where files are received: in memory when there is plenty, so that no disk is measured.
pub(crate) fn inbox(len: u64, otherwise: &Path) -> Result<TempDir> {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_kib = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let memory = Path::new("/dev/shm");
    let plenty = available_kib * 1024 > 4 * len && memory.is_dir();
    let place = if plenty { memory } else { otherwise };
    tempfile::Builder::new().prefix("bypath-demo-").tempdir_in(place).map_err(io("making a directory"))
}
