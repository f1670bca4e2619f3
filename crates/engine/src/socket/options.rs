//! What an application sets for one connection, and what it is told of without asking. Both are kept as atomics: the
//! worker takes options over when the socket wishes it, and reports are one bit each, so that nobody waits and nothing
//! grows.

use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bypath_tcp::Connection;

use super::shared::{SocketShared, wish};
use crate::template::Template;

/// A condition that ends no connection, but that its user may want to know (RFC 9293 section 3.9.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// ICMP: no route to the peer's network.
    NetworkUnreachable,
    /// ICMP: the peer does not answer the last router.
    HostUnreachable,
    /// ICMP: a source route has failed.
    SourceRouteFailed,
    /// ICMP: the peer does not speak TCP.
    ProtocolUnreachable,
    /// ICMP: nobody is at the port.
    PortUnreachable,
    /// ICMP: a filter forbids it.
    Prohibited,
    /// ICMP: the hop limit was used up, or a packet's fragments did not all come.
    TimeExceeded,
    /// ICMP: a router or the peer did not understand a header.
    ParameterProblem,
    /// The peer has not answered several retransmissions (R1 of RFC 9293 section 3.8.3).
    Stalled,
}

impl Report {
    const ALL: [Self; 9] = [
        Self::NetworkUnreachable,
        Self::HostUnreachable,
        Self::SourceRouteFailed,
        Self::ProtocolUnreachable,
        Self::PortUnreachable,
        Self::Prohibited,
        Self::TimeExceeded,
        Self::ParameterProblem,
        Self::Stalled,
    ];
}

/// An option that was never set.
const UNSET: u32 = u32::MAX;
const UNSET_NS: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct SocketOptions {
    hop_limit: AtomicU32,
    dscp: AtomicU32,
    user_timeout_ns: AtomicU64,
    /// 0: off.
    keep_alive_ns: AtomicU64,
    /// A bit for each report.
    reports: AtomicU32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            hop_limit: AtomicU32::new(UNSET),
            dscp: AtomicU32::new(UNSET),
            user_timeout_ns: AtomicU64::new(UNSET_NS),
            keep_alive_ns: AtomicU64::new(UNSET_NS),
            reports: AtomicU32::new(0),
        }
    }
}

impl SocketOptions {
    /// The worker's side: what was set holds from here on.
    pub(crate) fn apply(&self, conn: &mut Connection, template: &mut Template) {
        // Only what fits a byte was stored.
        let byte = |option: &AtomicU32| u8::try_from(option.load(Ordering::Acquire)).ok();
        if let Some(limit) = byte(&self.hop_limit) {
            template.set_hop_limit(limit);
        }
        if let Some(dscp) = byte(&self.dscp) {
            template.set_dscp(dscp);
        }
        let timeout = self.user_timeout_ns.load(Ordering::Acquire);
        if timeout != UNSET_NS {
            conn.set_user_timeout(Duration::from_nanos(timeout));
        }
        let idle = self.keep_alive_ns.swap(UNSET_NS, Ordering::AcqRel);
        if idle != UNSET_NS {
            conn.set_keep_alive((idle > 0).then(|| Duration::from_nanos(idle)));
        }
    }

    /// The worker's side: the user should know.
    pub(crate) fn report(&self, report: Report) {
        self.reports.fetch_or(1 << report as u32, Ordering::AcqRel);
    }
}

/// The application's side.
impl SocketShared {
    /// Hop limit of the packets.
    ///
    /// # Errors
    /// `InvalidInput` for 0.
    pub(crate) fn set_hop_limit(&self, limit: u8) -> Result<()> {
        if limit == 0 {
            return Err(invalid("a hop limit of 0 reaches nobody"));
        }
        self.options.hop_limit.store(u32::from(limit), Ordering::Release);
        self.wish(wish::OPTIONS);
        Ok(())
    }

    /// Differentiated services code point of the packets.
    ///
    /// # Errors
    /// `InvalidInput` above 63.
    pub(crate) fn set_dscp(&self, dscp: u8) -> Result<()> {
        if dscp > 63 {
            return Err(invalid("a code point is 0 to 63"));
        }
        self.options.dscp.store(u32::from(dscp), Ordering::Release);
        self.wish(wish::OPTIONS);
        Ok(())
    }

    /// How long sent data may stay unacknowledged.
    pub(crate) fn set_user_timeout(&self, timeout: Duration) {
        self.options.user_timeout_ns.store(nanos(timeout), Ordering::Release);
        self.wish(wish::OPTIONS);
    }

    /// Probes the peer after so long an idle time; `None`: never.
    pub(crate) fn set_keep_alive(&self, idle: Option<Duration>) {
        let idle = idle.map_or(0, |idle| nanos(idle).max(1));
        self.options.keep_alive_ns.store(idle, Ordering::Release);
        self.wish(wish::OPTIONS);
    }

    /// One of the reports that came since they were last taken.
    pub(crate) fn take_report(&self) -> Option<Report> {
        let reports = &self.options.reports;
        let bits = reports.load(Ordering::Acquire);
        let report = Report::ALL.into_iter().find(|report| bits & (1 << *report as u32) != 0)?;
        reports.fetch_and(!(1 << report as u32), Ordering::AcqRel);
        Some(report)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNSET_NS).min(UNSET_NS - 1)
}

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, why)
}
