//! Whether a segment that the stack has sent is the one that the script expects.

use crate::mapping::{Mapping, first_wrong_byte};
use crate::script::{PacketSpec, TcpOption, TcpSpec, Tos, flag};
use crate::settings::Settings;
use crate::wire::Live;

/// What is not as expected; nothing if all is. `live` is in script numbers already.
pub(crate) fn differences(
    spec: &PacketSpec,
    tcp: &TcpSpec,
    live: &Live,
    mapping: &Mapping,
    settings: &Settings,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, expected: u64, actual: u64| {
        if expected != actual {
            wrong.push(format!("{what} is {actual}, not {expected}"));
        }
    };
    if tcp.flags != live.flags {
        check("the set of flags", u64::from(tcp.flags), u64::from(live.flags));
    }
    check("the sequence number", tcp.seq.into(), live.seq.into());
    check("the payload's length", tcp.len.into(), live.payload.len() as u64);
    if tcp.flags & flag::ACK != 0 {
        check("the acknowledgement", tcp.ack.into(), live.ack.into());
    }
    if let Some(window) = tcp.window {
        check("the window", window.into(), live.window.into());
    }
    check("the urgent pointer", tcp.urgent.into(), live.urgent.into());
    match spec.ip.tos {
        None => {}
        Some(Tos::Ecn(bits)) => check("the ECN field", bits.into(), (live.tos & 3).into()),
        Some(Tos::Byte(tos)) => check("the type of service", tos.into(), live.tos.into()),
        Some(Tos::Ect01) => {
            check("the ECN field being ECT(0) or ECT(1)", 1, u64::from(matches!(live.tos & 3, 1 | 2)));
        }
    }
    if let Some(ttl) = spec.ip.ttl {
        check("the time to live", ttl.into(), live.ttl.into());
    }
    if let Some(options) = &tcp.options
        && !same_options(options, &live.options, settings)
    {
        wrong.push("the options differ".to_owned());
    }
    let syn = live.flags & flag::SYN != 0;
    let offset = mapping.local_offset(live.seq, syn);
    if let Some(at) = first_wrong_byte(offset, &live.payload) {
        wrong.push(format!("byte {at} of the stream is not what was written there"));
    }
    wrong
}

fn same_options(expected: &[TcpOption], actual: &[TcpOption], settings: &Settings) -> bool {
    let mut actual = actual.iter();
    for option in expected {
        if *option == TcpOption::Rest {
            return true;
        }
        let Some(found) = actual.next() else { return false };
        if !same_option(option, found, settings) {
            return false;
        }
    }
    actual.next().is_none()
}

fn same_option(expected: &TcpOption, actual: &TcpOption, settings: &Settings) -> bool {
    match (expected, actual) {
        (TcpOption::Timestamps { value, echo }, TcpOption::Timestamps { value: v, echo: e }) => {
            let ticks = u64::from(value.wrapping_sub(*v).cast_signed().unsigned_abs());
            let off_ns = ticks.saturating_mul(settings.timestamp_tick_ns);
            echo == e && off_ns <= settings.tolerance_ns
        }
        _ => expected == actual,
    }
}
