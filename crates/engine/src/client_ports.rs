//! Source ports of connections that a service opens on its worker, without a word to the control plane: on the
//! engine's own addresses all from 1024 up for each pair of a local address and a destination, but those of sockets
//! where there are any; on addresses that are shared with the kernel a block that was reserved before.
//!
//! A port is taken for the first time in an order that nobody without the secret can tell (RFC 6056), after that in
//! the order in which ports were given back: the one that was not used for longest comes first. A worker takes only
//! ports whose flow it owns by its hash. What a connection has left behind is remembered with its port: the next
//! connection between the same ends begins beyond it (RFC 9293 section 3.6.1).

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bypath_tcp::Instant;
use bypath_wire::SeqNum;
use siphasher::sip::SipHasher13;

use crate::ports::SOCKET_PORTS;

/// First port that is not reserved for system services.
const FIRST: u32 = 1024;
/// Positions in the order of first use: one for each number of 16 bits.
const POSITIONS: u32 = 1 << 16;
/// With more pairs than this, those without a connection are forgotten.
const MANY_PAIRS: usize = 1 << 16;
/// For so long sequence numbers of the last connection between two ends may still be under way, seconds.
const OLD_SEGMENTS: u64 = 240;

/// Which ports there are.
#[derive(Clone, Debug, Default)]
pub(crate) enum Candidates {
    /// All from 1024 up: the addresses are the engine's own.
    #[default]
    All,
    /// The same without those that sockets take theirs from ([`SOCKET_PORTS`]).
    BesideSockets,
    /// Reserved ones of each address.
    Reserved(Arc<HashMap<IpAddr, Vec<u16>>>),
}

/// A port that was given back.
#[derive(Clone, Copy, Debug)]
struct Freed {
    port: u16,
    at_seconds: u32,
    /// First sequence number that the connection did not use.
    beyond: SeqNum,
}

/// The ports between a local address and a destination.
#[derive(Debug, Default)]
struct Pair {
    key: u64,
    /// Position in the order of first use.
    position: u32,
    freed: VecDeque<Freed>,
    /// Their connections went to TIME-WAIT, in this order.
    resting: VecDeque<u16>,
    in_use: u32,
}

/// A port, and where its connection must begin at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) port: u16,
    pub(crate) beyond: Option<SeqNum>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ClientPorts {
    candidates: Candidates,
    secret: (u64, u64),
    pairs: HashMap<(IpAddr, SocketAddr), Pair>,
}

impl ClientPorts {
    pub(crate) fn new(candidates: Candidates, secret: (u64, u64)) -> Self {
        Self { candidates, secret, pairs: HashMap::new() }
    }

    /// A port for a connection from `local` to `remote`. `owned` says whether a port's flow belongs to this worker,
    /// `free` whether there is no connection with it, or one in TIME-WAIT that may be followed.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        local: IpAddr,
        remote: SocketAddr,
        owned: impl Fn(u16) -> bool,
        free: impl Fn(u16) -> bool,
    ) -> Option<Taken> {
        let secret = self.secret;
        let pair = self
            .pairs
            .entry((local, remote))
            .or_insert_with(|| Pair { key: hash(secret, local, remote), ..Pair::default() });
        let reserved: &[u16] = match &self.candidates {
            Candidates::All | Candidates::BesideSockets => &[],
            Candidates::Reserved(of) => of.get(&local).map(Vec::as_slice)?,
        };
        while pair.position < POSITIONS {
            let place = u32::from(shuffle(pair.key, pair.position as u16));
            pair.position += 1;
            let port = match &self.candidates {
                Candidates::All => u16::try_from(place).ok().filter(|_| place >= FIRST),
                Candidates::BesideSockets => {
                    u16::try_from(place).ok().filter(|port| place >= FIRST && !SOCKET_PORTS.contains(port))
                }
                Candidates::Reserved(_) => reserved.get(place as usize).copied(),
            };
            let Some(port) = port.filter(|port| owned(*port)) else { continue };
            if free(port) {
                pair.in_use += 1;
                return Some(Taken { port, beyond: None });
            }
            // A connection that was not opened here has it; its turn comes again.
            pair.resting.push_back(port);
        }
        if let Some(freed) = pair.freed.pop_front() {
            if free(freed.port) {
                pair.in_use += 1;
                let age = seconds(now).saturating_sub(u64::from(freed.at_seconds));
                let beyond = (age < OLD_SEGMENTS).then_some(freed.beyond);
                return Some(Taken { port: freed.port, beyond });
            }
            pair.resting.push_back(freed.port);
        }
        let port = *pair.resting.front()?;
        if !free(port) {
            // Those behind went to rest later. It may be none of ours, though, and then hides them: behind them.
            pair.resting.rotate_left(1);
            return None;
        }
        pair.resting.pop_front();
        pair.in_use += 1;
        Some(Taken { port, beyond: None })
    }

    /// The connection is over, having used sequence numbers before `beyond`.
    pub(crate) fn give_back(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, beyond: SeqNum) {
        let many = self.pairs.len() > MANY_PAIRS;
        let Some(pair) = self.pairs.get_mut(&(local.ip(), remote)) else { return };
        pair.in_use = pair.in_use.saturating_sub(1);
        if many && pair.in_use == 0 {
            self.pairs.remove(&(local.ip(), remote));
            return;
        }
        let at_seconds = u32::try_from(seconds(now)).unwrap_or(u32::MAX);
        pair.freed.push_back(Freed { port: local.port(), at_seconds, beyond });
    }

    /// The connection has gone to TIME-WAIT.
    pub(crate) fn rest(&mut self, local: SocketAddr, remote: SocketAddr) {
        if let Some(pair) = self.pairs.get_mut(&(local.ip(), remote)) {
            pair.in_use = pair.in_use.saturating_sub(1);
            pair.resting.push_back(local.port());
        }
    }
}

fn seconds(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000_000
}

fn hash(secret: (u64, u64), local: IpAddr, remote: SocketAddr) -> u64 {
    use std::hash::Hash;
    let mut hasher = SipHasher13::new_with_keys(secret.0, secret.1);
    (local, remote).hash(&mut hasher);
    hasher.finish()
}

/// A keyed order of all numbers of 16 bits: a Feistel network of two bytes.
fn shuffle(key: u64, position: u16) -> u16 {
    let (mut left, mut right) = ((position >> 8) as u8, position as u8);
    for round in 0..6u32 {
        let mixed = (u64::from(right) ^ key.rotate_left(round * 11)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (left, right) = (right, left ^ (mixed >> 56) as u8);
    }
    u16::from(left) << 8 | u16::from(right)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn local() -> IpAddr {
        [198, 18, 0, 1].into()
    }

    fn remote() -> SocketAddr {
        ([198, 18, 0, 2], 80).into()
    }

    fn ports() -> ClientPorts {
        ClientPorts::new(Candidates::All, (1, 2))
    }

    fn take(ports: &mut ClientPorts, free: impl Fn(u16) -> bool) -> Option<u16> {
        ports.take(NOW, local(), remote(), |_| true, free).map(|taken| taken.port)
    }

    #[test]
    fn ports_of_sockets_are_left_to_them() {
        let mut ports = ClientPorts::new(Candidates::BesideSockets, (1, 2));
        let given: HashSet<u16> = std::iter::from_fn(|| take(&mut ports, |_| true)).collect();
        assert_eq!(given.len(), 65_536 - 1_024 - SOCKET_PORTS.len());
        assert!(!given.iter().any(|port| SOCKET_PORTS.contains(port)));
    }

    #[test]
    fn every_port_from_1024_up_is_given_once_and_then_none() {
        let mut ports = ports();
        let given: HashSet<u16> = std::iter::from_fn(|| take(&mut ports, |_| true)).collect();
        assert_eq!(given.len(), 65_536 - 1_024);
        assert!(given.iter().all(|port| *port >= 1024));
        let another = ([198, 18, 0, 2], 81).into();
        assert!(ports.take(NOW, local(), another, |_| true, |_| true).is_some(), "another destination");
    }

    #[test]
    fn the_order_differs_for_every_destination_and_secret() {
        let first = |secret, remote| {
            let mut ports = ClientPorts::new(Candidates::All, secret);
            let mut next = || ports.take(NOW, local(), remote, |_| true, |_| true).unwrap().port;
            [next(), next(), next()]
        };
        let there = ([198, 18, 0, 3], 80).into();
        assert_ne!(first((1, 2), remote()), first((1, 3), remote()));
        assert_ne!(first((1, 2), remote()), first((1, 2), there));
        assert_eq!(first((1, 2), remote()), first((1, 2), remote()));
    }

    #[test]
    fn workers_take_only_their_own() {
        let mut ports = ports();
        for _ in 0..1_000 {
            let port = ports.take(NOW, local(), remote(), |port| port % 4 == 1, |_| true).unwrap().port;
            assert_eq!(port % 4, 1);
        }
    }

    #[test]
    fn ports_come_back_in_the_order_they_were_given_back_and_with_what_they_had_sent() {
        let mut ports = ports();
        let given: Vec<u16> = std::iter::from_fn(|| take(&mut ports, |_| true)).collect();
        let back = [given[700], given[7], given[70]];
        for (n, port) in back.into_iter().enumerate() {
            ports.give_back(NOW, SocketAddr::new(local(), port), remote(), SeqNum(n as u32));
        }
        let again = ports.take(NOW, local(), remote(), |_| true, |_| true).unwrap();
        assert_eq!(again, Taken { port: back[0], beyond: Some(SeqNum(0)) });
        let long_after = Instant::from_nanos(OLD_SEGMENTS * 1_000_000_000);
        let again = ports.take(long_after, local(), remote(), |_| true, |_| true).unwrap();
        assert_eq!(again, Taken { port: back[1], beyond: None });
    }

    #[test]
    fn a_port_in_time_wait_waits_until_it_may_be_followed() {
        let mut ports = ports();
        let given: Vec<u16> = std::iter::from_fn(|| take(&mut ports, |_| true)).collect();
        ports.rest(SocketAddr::new(local(), given[5]), remote());
        assert_eq!(take(&mut ports, |_| false), None);
        assert_eq!(take(&mut ports, |_| true), Some(given[5]));
        assert_eq!(take(&mut ports, |_| true), None);
    }

    #[test]
    fn reserved_ports_are_all_used_and_no_others() {
        let reserved = HashMap::from([(local(), vec![7000, 7001, 7002])]);
        let mut ports = ClientPorts::new(Candidates::Reserved(Arc::new(reserved)), (3, 4));
        let mut given: Vec<u16> = std::iter::from_fn(|| take(&mut ports, |_| true)).collect();
        given.sort_unstable();
        assert_eq!(given, [7000, 7001, 7002]);
        let elsewhere = [198, 18, 0, 9].into();
        assert_eq!(ports.take(NOW, elsewhere, remote(), |_| true, |_| true), None);
    }

    #[test]
    fn the_order_of_first_use_has_every_number_once() {
        let all: HashSet<u16> = (0..=u16::MAX).map(|n| shuffle(0x1234_5678_9abc_def0, n)).collect();
        assert_eq!(all.len(), 65_536);
    }
}
