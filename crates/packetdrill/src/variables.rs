//! The names that assertions may use: the fields of Linux's `TCP_INFO`, in its units, and some of ours.

use bypath::by_hand::Stack;
use bypath::{ConnectionInfo, EcnFeedback, TcpState};

/// Why a name has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Linux has it, this stack does not keep it.
    NotKept,
    /// Nobody knows it.
    NoSuchName,
}

/// Fields that Linux has and that are not kept here.
const NOT_KEPT: &[&str] = &[
    "tcpi_ato",
    "tcpi_fackets",
    "tcpi_last_ack_sent",
    "tcpi_last_ack_recv",
    "tcpi_last_data_sent",
    "tcpi_last_data_recv",
    "tcpi_rcv_mss",
    "tcpi_rcv_rtt",
    "tcpi_rcv_space",
    "tcpi_rcv_ssthresh",
    "tcpi_busy_time",
    "tcpi_rwnd_limited",
    "tcpi_sndbuf_limited",
    "tcpi_pacing_rate",
    "tcpi_max_pacing_rate",
    "tcpi_delivery_rate",
    "tcpi_delivery_rate_app_limited",
    "tcpi_delivered",
    "tcpi_delivered_ce",
    "tcpi_bytes_received",
    "tcpi_bytes_sent",
    "tcpi_data_segs_in",
    "tcpi_dsack_dups",
    "tcpi_reord_seen",
    "tcpi_reordering",
    "tcpi_fastopen_client_fail",
    "tcpi_pmtu",
];

/// `tcpi_…`. Without a connection it is closed, or half open, and all else 0.
pub(crate) fn tcp_info(name: &str, half_open: bool, info: Option<&ConnectionInfo>) -> Result<f64, Unknown> {
    let Some(field) = name.strip_prefix("tcpi_") else { return Err(Unknown::NoSuchName) };
    if NOT_KEPT.contains(&name) {
        return Err(Unknown::NotKept);
    }
    let Some(info) = info else {
        return Ok(match field {
            "state" if half_open => 3.0,
            "state" => 7.0,
            _ => 0.0,
        });
    };
    let micros = |ns: u64| (ns / 1_000) as f64;
    let segments = |bytes: u32| f64::from(bytes / info.mss.max(1));
    Ok(match field {
        "state" => f64::from(state(info.state)),
        "ca_state" => f64::from(info.recovery as u8),
        "retransmits" | "backoff" => f64::from(info.backoff),
        "probes" => f64::from(info.probes),
        "options" => f64::from(
            u8::from(info.timestamps)
                | u8::from(info.sack) << 1
                | u8::from(info.window_scaling) << 2
                | u8::from(info.ecn != EcnFeedback::None) << 3,
        ),
        "snd_wscale" => f64::from(info.snd_scale),
        "rcv_wscale" => f64::from(info.rcv_scale),
        "rto" => micros(info.rto_ns),
        "rtt" => micros(info.srtt_ns),
        "rttvar" => micros(info.rttvar_ns),
        "min_rtt" => micros(info.min_rtt_ns),
        "snd_mss" => f64::from(info.mss),
        "advmss" => f64::from(info.advertised_mss),
        "snd_cwnd" => segments(info.cwnd),
        "snd_ssthresh" if info.ssthresh == u32::MAX => f64::from(0x7fff_ffff),
        "snd_ssthresh" => segments(info.ssthresh),
        "snd_wnd" => f64::from(info.snd_wnd),
        "rcv_wnd" => f64::from(info.rcv_wnd),
        "unacked" => f64::from(info.unacked),
        "sacked" => f64::from(info.sacked),
        "lost" => f64::from(info.lost),
        "retrans" => f64::from(info.retransmitted),
        "total_retrans" => info.stats.segs_retrans as f64,
        "bytes_retrans" => info.stats.octets_retrans as f64,
        "bytes_acked" => info.bytes_acked as f64,
        "notsent_bytes" => info.not_sent as f64,
        "segs_in" => info.stats.segs_in as f64,
        "segs_out" => info.stats.segs_out as f64,
        "data_segs_out" => info.stats.data_segs_out as f64,
        "rcv_ooopack" => info.stats.out_of_order_in as f64,
        "total_rto" => info.stats.timeouts as f64,
        _ => return Err(Unknown::NoSuchName),
    })
}

/// Linux's number of a state.
fn state(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::TimeWait => 6,
        TcpState::Closed => 7,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Closing => 11,
    }
}

/// Names that upstream does not have: `bypath_connections`, `bypath_half_open`, `bypath_retransmits`, `drop_…` for a cause of
/// [`Stack::drops`], `count_…` for one of [`Stack::counts`], and of the connection `cwnd_bytes`, `ssthresh_bytes`, `challenge_acks`, `window_probes`, `keep_alive_probes`, `fast_recoveries`.
pub(crate) fn own(name: &str, stack: Option<&Stack>, info: Option<&ConnectionInfo>) -> Result<f64, Unknown> {
    let stats = info.map(|info| info.stats).unwrap_or_default();
    Ok(match name {
        "bypath_connections" => stack.map_or(0.0, |s| s.connections() as f64),
        "bypath_half_open" => stack.map_or(0.0, |s| s.half_open() as f64),
        "bypath_retransmits" => stack.map_or(0.0, |s| s.retransmits() as f64),
        "cwnd_bytes" => info.map_or(0.0, |info| f64::from(info.cwnd)),
        "ssthresh_bytes" => info.map_or(0.0, |info| f64::from(info.ssthresh)),
        "challenge_acks" => stats.challenge_acks as f64,
        "window_probes" => stats.window_probes as f64,
        "keep_alive_probes" => stats.keep_alive_probes as f64,
        "fast_recoveries" => stats.fast_recoveries as f64,
        _ => {
            let (cause, counters) = match (name.strip_prefix("drop_"), name.strip_prefix("count_")) {
                (Some(cause), _) => (cause, stack.map(Stack::drops)),
                (_, Some(count)) => (count, stack.map(Stack::counts)),
                _ => return Err(Unknown::NoSuchName),
            };
            // Only causes that were seen are listed.
            let found = counters.unwrap_or_default().into_iter().find(|(name, _)| *name == cause);
            found.map_or(0.0, |(_, count)| count as f64)
        }
    })
}
