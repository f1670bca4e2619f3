//! One `bypath get --json`, and one curl, and what they say about themselves.

use std::path::Path;
use std::process::Command;

use bypath_lab::Lab;
use serde_json::Value;

use crate::error::{DemoError, Result};
use crate::programs::Stop;

/// How a transfer went.
#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    /// Bytes a second over the whole transfer.
    pub(crate) goodput: f64,
    pub(crate) handshake_s: f64,
    /// Segments that the far host sent meanwhile, and those of them that it sent again.
    pub(crate) segments: u64,
    pub(crate) retransmits: u64,
    /// What else `bypath get` knows; null from curl.
    pub(crate) facts: Value,
}

impl Transfer {
    pub(crate) fn gbps(&self) -> f64 {
        self.goodput * 8.0 / 1e9
    }

    /// The times of a transfer, for people.
    pub(crate) fn summary(&self) -> String {
        let share = 100.0 * self.retransmits as f64 / self.segments.max(1) as f64;
        format!(
            "{:.2} Gbit/s, handshake {:.2} ms, {} of {} segments retransmitted ({share:.3} %)",
            self.gbps(),
            self.handshake_s * 1e3,
            self.retransmits,
            self.segments,
        )
    }

    /// What carried it.
    pub(crate) fn wire(&self) -> String {
        let engine = &self.facts["engine"];
        let text = |key: &str| match &engine[key] {
            Value::String(text) => text.clone(),
            Value::Null => "?".into(),
            other => other.to_string(),
        };
        let drops: Vec<String> = engine["drops"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, count)| count.as_u64() != Some(0))
            .map(|(cause, count)| format!("{cause} {count}"))
            .collect();
        format!(
            "bound {}, XDP {}, driver {}, MTU {}, {} queue(s), {} worker(s), kernel {}; drops: {}",
            text("mode"),
            text("xdp"),
            text("driver"),
            text("mtu"),
            text("queues"),
            text("workers"),
            text("kernel"),
            if drops.is_empty() { "none".to_owned() } else { drops.join(", ") },
        )
    }
}

/// Runs `bypath get` in the near host.
pub(crate) fn bypath(stop: &Stop, program: &Path, lab: &Lab, args: &[&str]) -> Result<Transfer> {
    let near = lab.near();
    let mut command = Command::new(program);
    command.args(["get", "--json", "--max-time", "60", "--netns", near.netns(), "--dev", near.interface()]);
    command.args(args);
    let (printed, [segments, retransmits]) = counted(lab, || stop.run(&mut command))?;
    let facts: Value = serde_json::from_str(&printed).map_err(|error| DemoError::Unexpected {
        what: "what `bypath get --json` prints".into(),
        expected: "one JSON object".into(),
        got: format!("{error}: {printed}"),
    })?;
    let number = |key: &str| facts[key].as_f64().unwrap_or(0.0);
    Ok(Transfer {
        bytes: facts["bytes"].as_u64().unwrap_or(0),
        goodput: number("speed_download"),
        handshake_s: number("time_connect") - number("time_namelookup"),
        segments,
        // Ours as well: in a download they are those of requests and of the handshake.
        retransmits: retransmits + facts["retransmits"].as_u64().unwrap_or(0),
        facts,
    })
}

/// Runs curl over the kernel's stack in the near host.
pub(crate) fn curl(stop: &Stop, lab: &Lab, url: &str) -> Result<Transfer> {
    let mut command = lab.near().command("curl")?;
    command.args(["-sS", "--max-time", "60", "-o", "/dev/null", "-w"]);
    command.arg("%{size_download} %{time_connect} %{time_namelookup} %{speed_download}").arg(url);
    let (printed, [segments, retransmits]) = counted(lab, || stop.run(&mut command))?;
    let numbers: Vec<f64> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [bytes, connect, lookup, goodput] = numbers[..] else {
        return Err(DemoError::Unexpected {
            what: "what curl prints".into(),
            expected: "four numbers".into(),
            got: printed,
        });
    };
    let handshake_s = connect - lookup;
    Ok(Transfer { bytes: bytes as u64, goodput, handshake_s, segments, retransmits, facts: Value::Null })
}

/// Does something, and counts the segments that the kernel of the far host sent for it, first and again.
fn counted<T>(lab: &Lab, work: impl FnOnce() -> Result<T>) -> Result<(T, [u64; 2])> {
    let read = || -> Result<[u64; 2]> {
        let count = |name| lab.far().counter("Tcp", name).map(Option::unwrap_or_default);
        // The kernel counts segments sent again apart from the others.
        let (first, again) = (count("OutSegs")?, count("RetransSegs")?);
        Ok([first + again, again])
    };
    let before = read()?;
    let done = work()?;
    let after = read()?;
    Ok((done, [after[0] - before[0], after[1] - before[1]]))
}
