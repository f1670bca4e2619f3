//! Did the network and the peer do what the figures suppose?

use super::{Expectations, Findings, Told, limit, ratio};
use crate::result::{ReasonCode, RunResult, RunState};
use crate::text::{count, percent};

pub(super) fn check(result: &RunResult, expected: &Expectations, findings: &mut Findings) {
    if expected.lossless {
        loss(result, findings);
    }
    if !expected.raw_frames {
        corruption(result, findings);
    }
    errors(result, findings);
    held(result, findings);
}

fn loss(result: &RunResult, findings: &mut Findings) {
    let totals = &result.totals;
    let kinds = [
        ("packets", totals.packets_lost, totals.packets_sent),
        ("segments", totals.segments_lost.or(totals.segments_retransmitted), totals.segments_sent),
    ];
    for (what, lost, sent) in kinds {
        let (Some(lost), Some(sent)) = (lost, sent) else { continue };
        let share = ratio(lost, sent);
        findings.check(ReasonCode::UnexpectedLoss, share > limit::LINK_LOSS_RATIO, || {
            Told::with(
                format!(
                    "{} of {} {what} were lost on a link that should lose none: look at the drops of both ends, at the cable, and \
                     at flow control",
                    count(lost),
                    count(sent)
                ),
                share,
                limit::LINK_LOSS_RATIO,
                "ratio",
            )
        });
    }
}

fn corruption(result: &RunResult, findings: &mut Findings) {
    let totals = &result.totals;
    for (what, found) in [("bytes", totals.bytes_corrupt), ("packets", totals.packets_corrupt)] {
        let Some(found) = found else { continue };
        findings.check(ReasonCode::Corruption, found > 0, || {
            Told::with(
                format!("{} {what} were not what had been sent: look for faulty memory, offloads or devices on the way", count(found)),
                found as f64,
                0.0,
                "count",
            )
        });
    }
}

fn errors(result: &RunResult, findings: &mut Findings) {
    let totals = &result.totals;
    let causes = || {
        let mut causes: Vec<_> = totals.errors.iter().filter(|(_, n)| **n > 0).collect();
        causes.sort_by(|a, b| b.1.cmp(a.1));
        let list: Vec<String> =
            causes.iter().take(3).map(|(cause, n)| format!("{cause} {}", count(**n))).collect();
        if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) }
    };
    let failed_requests =
        totals.requests_failed.map(|failed| (failed, failed + totals.requests.unwrap_or(0)));
    let failed_connections =
        totals.connections_failed.map(|failed| (failed, failed + totals.connections_opened.unwrap_or(0)));
    for (what, failed) in [("requests", failed_requests), ("connections", failed_connections)] {
        let Some((failed, all)) = failed else { continue };
        let share = ratio(failed, all);
        findings.check(ReasonCode::Errors, share > limit::ERROR_RATIO, || {
            Told::with(
                format!(
                    "{} of {} {what} failed{}, {}, and what failed is in no latency: lower the load, or look at the target's log",
                    count(failed),
                    count(all),
                    causes(),
                    percent(share)
                ),
                share,
                limit::ERROR_RATIO,
                "ratio",
            )
        });
    }
}

/// Connections that were to be held, and are not open at the end.
fn held(result: &RunResult, findings: &mut Findings) {
    let totals = &result.totals;
    let wanted = result.settings.get("connections").and_then(serde_json::Value::as_u64);
    let (Some(wanted), Some(open)) = (wanted, totals.connections_open_at_end) else { return };
    if result.pattern.as_deref() != Some("hold") || result.state != RunState::Complete {
        return;
    }
    // The counts of repeated runs are sums.
    let wanted = wanted * (result.repeats.len() as u64).max(1);
    findings.check(ReasonCode::Errors, open < wanted, || {
        Told::with(
            format!(
                "{} of {} connections were open at the end: give them more time, with a longer -t or a longer --ramp, or look at \
                 the server's limits and its log",
                count(open),
                count(wanted)
            ),
            open as f64,
            wanted as f64,
            "count",
        )
    });
    let (opened, lost) = (totals.connections_opened.unwrap_or(0), totals.connections_closed.unwrap_or(0));
    let share = ratio(lost, opened);
    findings.check(ReasonCode::Errors, share > limit::ERROR_RATIO, || {
        Told::with(
            format!(
                "{} of {} connections that were opened did not last to the end, {}: look at the server's limits and its log",
                count(lost),
                count(opened),
                percent(share)
            ),
            share,
            limit::ERROR_RATIO,
            "ratio",
        )
    });
}
