//! Running the programs that are compared, reading what they print, and what processor time they took.

use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::Value;

use crate::Error;

/// What /proc counts processor time in, on every architecture that the engine runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let name = format!("{command:?}").replace('"', "");
    let done = command.output().map_err(|error| format!("{name}: {error}"))?;
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(printed);
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(format!("{name} failed ({}): {} {}", done.status, said.trim(), printed.trim()))
}

/// Runs a program that prints JSON.
pub(crate) fn json(command: &mut Command) -> Result<Value, Error> {
    let printed = output(command)?;
    serde_json::from_str(&printed)
        .map_err(|error| format!("{command:?} printed no JSON ({error}): {printed}"))
}

/// A number of it.
pub(crate) fn number(document: &Value, pointer: &str) -> Result<f64, Error> {
    document.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| format!("no {pointer} in {document}"))
}

/// Processor time of the children that have ended, in seconds.
fn of_children() -> f64 {
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(0.0, |usage| (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Processor time that the processes of a group have had, in seconds, all their threads together.
fn of_group(leader: u32) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let stats = processes.flatten().filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok());
    stats
        .filter_map(|stat| group_and_ticks(&stat))
        .filter(|(group, _)| *group == leader)
        .map(|(_, t)| t)
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// See proc_pid_stat(5): the name, in parentheses, may contain anything.
fn group_and_ticks(stat: &str) -> Option<(u32, f64)> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((fields.get(2)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

/// Does something that runs a program to its end, and tells what processor time that program and a server took. The
/// kernel's work on packets is in it, as far as it is done in their name: on a veth pair all but the rest that ksoftirqd
/// takes over.
pub(crate) fn with_processor_time<T>(
    server: u32,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, f64), Error> {
    let before = of_children() + of_group(server);
    let done = work()?;
    Ok((done, of_children() + of_group(server) - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_odd_names() {
        let stat = "17 (a b) c) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1";
        assert_eq!(group_and_ticks(stat), Some((42, 300.0)));
        assert_eq!(group_and_ticks("17"), None);
    }

    #[test]
    fn a_program_that_fails_is_told_with_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.contains("why") && error.contains('3'), "{error}");
    }
}
