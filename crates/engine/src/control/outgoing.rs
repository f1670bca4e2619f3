//! The connections that sockets have opened, by their two ends: which source port is free towards a destination, and
//! which of those in TIME-WAIT a new connection may follow on when none is (RFC 6191).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a connection must have been in TIME-WAIT before its port may be used again: the clock of timestamps has
/// moved by then, however slow it is (RFC 7323 section 5.4), and the worker's clock agrees.
const REST: Duration = Duration::from_millis(1_010);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// In TIME-WAIT, with its number in the order in which that began.
    Resting(u64),
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    number: u64,
    local: SocketAddr,
    since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    connections: HashMap<SocketAddr, Vec<(SocketAddr, Phase)>>,
    /// How many there are from an address to a destination.
    counts: HashMap<(IpAddr, SocketAddr), usize>,
    /// Those in TIME-WAIT by destination, oldest first, some of them over.
    resting: HashMap<SocketAddr, VecDeque<Rest>>,
    numbered: u64,
}

impl Outgoing {
    /// Whether there is no connection between these ends.
    pub(super) fn is_free(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.connections.get(&local).is_none_or(|peers| !peers.iter().any(|(peer, _)| *peer == remote))
    }

    /// Connections from `local` to `remote`, whatever their port.
    pub(super) fn count(&self, local: IpAddr, remote: SocketAddr) -> usize {
        self.counts.get(&(local, remote)).copied().unwrap_or_default()
    }

    /// A connection begins.
    pub(super) fn open(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.connections.entry(local).or_default().push((remote, Phase::Open));
        *self.counts.entry((local.ip(), remote)).or_default() += 1;
    }

    /// A connection has gone to TIME-WAIT, and one may follow on it.
    pub(super) fn rest(&mut self, local: SocketAddr, remote: SocketAddr, now: Instant) {
        let Some(peers) = self.connections.get_mut(&local) else { return };
        let Some((_, phase)) = peers.iter_mut().find(|found| **found == (remote, Phase::Open)) else {
            return;
        };
        self.numbered += 1;
        *phase = Phase::Resting(self.numbered);
        let queue = self.resting.entry(remote).or_default();
        queue.push_back(Rest { number: self.numbered, local, since: now });
        // Two for each that comes: the queue never holds many that are over.
        for _ in 0..2 {
            match self.resting.get(&remote).and_then(VecDeque::front).copied() {
                Some(first) if !self.is_resting(&first, remote) => self.forget_first(remote),
                _ => return,
            }
        }
    }

    /// A connection is gone: of two between the same ends the older, which was in TIME-WAIT.
    pub(super) fn close(&mut self, local: SocketAddr, remote: SocketAddr) {
        let Some(peers) = self.connections.get_mut(&local) else { return };
        let resting = peers.iter().position(|(peer, phase)| *peer == remote && *phase != Phase::Open);
        let Some(at) = resting.or_else(|| peers.iter().position(|(peer, _)| *peer == remote)) else { return };
        peers.swap_remove(at);
        if peers.is_empty() {
            self.connections.remove(&local);
        }
        if let Some(count) = self.counts.get_mut(&(local.ip(), remote)) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&(local.ip(), remote));
                self.resting.remove(&remote);
            }
        }
    }

    /// The local end of a connection in TIME-WAIT to `remote` that one may follow on now. It is not given twice.
    pub(super) fn successor(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<SocketAddr> {
        loop {
            let first = *self.resting.get(&remote)?.front()?;
            if self.is_resting(&first, remote) {
                if first.local.ip() != local || now.duration_since(first.since) < REST {
                    return None;
                }
                self.forget_first(remote);
                return Some(first.local);
            }
            self.forget_first(remote);
        }
    }

    fn is_resting(&self, rest: &Rest, remote: SocketAddr) -> bool {
        let peers = self.connections.get(&rest.local);
        peers.is_some_and(|peers| peers.contains(&(remote, Phase::Resting(rest.number))))
    }

    fn forget_first(&mut self, remote: SocketAddr) {
        if let Some(queue) = self.resting.get_mut(&remote) {
            queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        ([198, 18, 0, 1], port).into()
    }

    fn remote() -> SocketAddr {
        ([198, 18, 0, 2], 80).into()
    }

    fn successor(of: &mut Outgoing, now: Instant) -> Option<SocketAddr> {
        of.successor(local(0).ip(), remote(), now)
    }

    #[test]
    fn a_port_is_free_again_when_its_connection_is_gone() {
        let mut out = Outgoing::default();
        out.open(local(1), remote());
        assert!(!out.is_free(local(1), remote()) && out.is_free(local(2), remote()));
        assert_eq!(out.count(local(0).ip(), remote()), 1);
        out.close(local(1), remote());
        assert!(out.is_free(local(1), remote()));
        assert_eq!(out.count(local(0).ip(), remote()), 0);
    }

    #[test]
    fn the_longest_in_time_wait_is_followed_first_and_each_once() {
        let (mut out, now) = (Outgoing::default(), Instant::now());
        for port in [1, 2, 3] {
            out.open(local(port), remote());
        }
        out.rest(local(2), remote(), now);
        out.rest(local(1), remote(), now);
        assert_eq!(successor(&mut out, now + Duration::from_secs(1)), None, "too early");
        let later = now + 2 * REST;
        assert_eq!(successor(&mut out, later), Some(local(2)));
        assert_eq!(successor(&mut out, later), Some(local(1)));
        assert_eq!(successor(&mut out, later), None, "the third is open");
    }

    #[test]
    fn of_two_between_the_same_ends_the_older_is_gone_first() {
        let (mut out, now) = (Outgoing::default(), Instant::now());
        out.open(local(1), remote());
        out.rest(local(1), remote(), now);
        assert_eq!(successor(&mut out, now + REST), Some(local(1)));
        out.open(local(1), remote());
        out.close(local(1), remote());
        assert!(!out.is_free(local(1), remote()), "the successor is open");
        out.rest(local(1), remote(), now + REST);
        assert_eq!(successor(&mut out, now + 2 * REST), Some(local(1)));
    }

    #[test]
    fn what_is_over_is_neither_followed_nor_kept() {
        let (mut out, now) = (Outgoing::default(), Instant::now());
        out.open(local(9), remote());
        for _ in 0..100 {
            out.open(local(1), remote());
            out.rest(local(1), remote(), now);
            out.close(local(1), remote());
        }
        assert!(out.resting[&remote()].len() <= 2);
        assert_eq!(successor(&mut out, now + REST), None);
        out.close(local(9), remote());
        assert!(out.resting.is_empty() && out.counts.is_empty());
    }
}
