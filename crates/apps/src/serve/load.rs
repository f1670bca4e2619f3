//! The services that load generators talk to: `rr` and `stream`. `docs/serve.md` defines them.

use std::sync::Arc;

use bypath::{SendSource, ServiceConnection};

use super::held::Held;
use super::load_protocol::{RrHeader, StreamHeader, StreamReport, TestPattern};
use super::totals::{Trouble, WorkerTotals};

/// Bytes of responses that may wait before the next request is looked at.
const MOST_WAITING: u64 = 16 << 20;
/// How far a stream without an end is ahead of what the peer has acknowledged.
const AHEAD: u64 = 8 << 20;

/// Requests with their sizes, answered by as many bytes as they ask for.
#[derive(Debug, Default)]
pub(super) struct Rr {
    head: [u8; RrHeader::LEN],
    have: usize,
    /// Of the request, after its header.
    left: u64,
    response: u32,
    sent: u64,
    held: Held,
    peer_closed: bool,
}

impl Rr {
    pub(super) fn on_data(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) {
        if !self.held.is_empty() {
            self.held.push(data);
            return self.resume(connection, pattern, totals);
        }
        let taken = self.take(connection, data, pattern, totals);
        if let Some(rest @ [_, ..]) = data.get(taken..) {
            self.held.push(rest);
            connection.set_unread(self.held.len());
        }
    }

    pub(super) fn resume(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) {
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let taken = self.take(connection, held.bytes(), pattern, totals);
            held.consume(taken);
            self.held = held;
            connection.set_unread(self.held.len());
        }
        if self.peer_closed && self.held.is_empty() {
            if self.have > 0 {
                totals.trouble(Trouble::Protocol);
                return connection.abort();
            }
            connection.close();
        }
    }

    pub(super) fn on_peer_closed(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) {
        self.peer_closed = true;
        self.resume(connection, pattern, totals);
    }

    /// Takes requests as far as they have come and their responses may be given; returns how many bytes.
    fn take(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) -> usize {
        let mut rest = data;
        loop {
            if self.have < RrHeader::LEN {
                if connection.outstanding() >= MOST_WAITING {
                    break;
                }
                let n = rest.len().min(RrHeader::LEN - self.have);
                let (now, later) = rest.split_at(n);
                self.head[self.have..self.have + n].copy_from_slice(now);
                self.have += n;
                rest = later;
                if self.have < RrHeader::LEN {
                    break;
                }
                let Some(header) = RrHeader::parse(self.head) else {
                    totals.trouble(Trouble::Protocol);
                    connection.abort();
                    return data.len();
                };
                self.left = u64::from(header.request_bytes) - RrHeader::LEN as u64;
                self.response = header.response_bytes;
            }
            let n = (rest.len() as u64).min(self.left);
            rest = rest.get(n as usize..).unwrap_or_default();
            self.left -= n;
            if self.left > 0 {
                break;
            }
            connection.send_part(pattern.clone(), self.sent, self.response.into());
            self.sent += u64::from(self.response);
            self.have = 0;
            totals.requests.add(1);
        }
        data.len() - rest.len()
    }
}

/// A stream up, down or both, with a report at its end.
#[derive(Debug, Default)]
pub(super) struct Stream {
    head: [u8; StreamHeader::LEN],
    have: usize,
    header: Option<StreamHeader>,
    received: u64,
    wrong_at: Option<u64>,
    given: u64,
    peer_closed: bool,
    reported: bool,
}

impl Stream {
    pub(super) fn on_data(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) {
        let mut data = data;
        if self.header.is_none() {
            let n = data.len().min(StreamHeader::LEN - self.have);
            let (now, later) = data.split_at(n);
            self.head[self.have..self.have + n].copy_from_slice(now);
            self.have += n;
            if self.have < StreamHeader::LEN {
                return;
            }
            self.header = StreamHeader::parse(self.head);
            if self.header.is_none() {
                totals.trouble(Trouble::Protocol);
                return connection.abort();
            }
            data = later;
            self.pump(connection, pattern);
        }
        let Some(header) = self.header else { return };
        if data.is_empty() {
            return;
        }
        if !header.up {
            totals.trouble(Trouble::Protocol);
            return connection.abort();
        }
        if header.check && self.wrong_at.is_none() {
            self.wrong_at = TestPattern.mismatch(self.received, data);
            if self.wrong_at.is_some() {
                totals.trouble(Trouble::WrongBytes);
            }
        }
        self.received += data.len() as u64;
    }

    /// Gives what may be given now, the report when it is time for it.
    pub(super) fn pump(&mut self, connection: &mut ServiceConnection<'_>, pattern: &Arc<dyn SendSource>) {
        let Some(header) = self.header else {
            if self.peer_closed {
                connection.close();
            }
            return;
        };
        let endless = header.down && header.down_bytes == 0;
        if header.down && !endless && self.given == 0 {
            connection.send_part(pattern.clone(), 0, header.down_bytes);
            self.given = header.down_bytes;
        }
        if endless && !self.peer_closed {
            let more = AHEAD.saturating_sub(connection.outstanding());
            if more > AHEAD / 8 {
                connection.send_part(pattern.clone(), self.given, more);
                self.given += more;
            }
        }
        if self.peer_closed && !self.reported {
            self.reported = true;
            let report = StreamReport { received: self.received, wrong_at: self.wrong_at, sent: self.given };
            connection.write(&report.emit());
            connection.close();
        }
    }

    pub(super) fn on_peer_closed(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        pattern: &Arc<dyn SendSource>,
        totals: &WorkerTotals,
    ) {
        self.peer_closed = true;
        if self.header.is_none() && self.have > 0 {
            totals.trouble(Trouble::Protocol);
            return connection.abort();
        }
        self.pump(connection, pattern);
    }
}
