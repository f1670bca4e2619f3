//! Which source ports and listening ports the engine uses, agreed with the kernel where they share an address.
//!
//! On an *own* address every port from 1024 up is the engine's. On a *shared* address a port is taken by
//! binding a kernel socket to it, never listening, for as long as the engine uses it: the kernel then neither
//! hands it out nor lets anyone else bind it, and says so if somebody had it first. Ports outside the
//! kernel's ephemeral range are preferred, because those inside go to every program on the machine.
//!
//! The search for a source port starts at a place that an outsider cannot guess and that differs for every
//! destination (RFC 6056 §3.3.4, "double-hash") and goes on from there in steps of random length (§3.3.5), so that ports are
//! neither predictable nor reused soon.
//!
//! The control plane calls this; it takes a lock and makes system calls. The sockets belong to the network
//! namespace of the calling thread.

use std::collections::HashMap;
use std::fs;
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siphasher::sip::SipHasher13;
use socket2::{Domain, Socket, Type};

/// First port that is not reserved for system services.
const FIRST_USER_PORT: u16 = 1024;
/// Where services open connections from the engine's own addresses, sockets take their ports from here and services
/// leave these alone ([`crate::client_ports`]), because neither asks the other.
pub(crate) const SOCKET_PORTS: RangeInclusive<u16> = 64_512..=u16::MAX;
/// With fewer candidates than this outside the kernel's range, those inside are used as well.
const FEW_PORTS: usize = 4096;
/// Number of counters of RFC 6056 §3.3.4.
const COUNTERS: usize = 256;
/// The longest random step between two ports towards the same counter (RFC 6056 section 3.3.5: a balance between
/// ports that are hard to guess and ports that are not used again soon).
const MAX_STEP: u32 = 500;

/// The two transports that have ports here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        })
    }
}

/// Who else uses the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Nobody: the addresses are the engine's alone.
    Own,
    /// The engine's services, which open connections from all ports but [`SOCKET_PORTS`].
    BesideServices,
    /// The kernel, which keeps all ports that are not leased here.
    Shared,
}

/// Why a port could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    /// A socket of the engine has it.
    #[error("{transport} port {} of {} is in use by another socket of this engine", addr.port(), addr.ip())]
    InUseHere {
        /// Transport asked for.
        transport: Transport,
        /// Address and port asked for.
        addr: SocketAddr,
    },
    /// A socket of the kernel has it.
    #[error(
        "{transport} port {} of {} is in use by the kernel: stop the program that has it (see `ss -lntup`), \
         or choose another port", addr.port(), addr.ip()
    )]
    InUseByKernel {
        /// Transport asked for.
        transport: Transport,
        /// Address and port asked for.
        addr: SocketAddr,
    },
    /// Every source port is taken towards this destination.
    #[error("no free {transport} source port is left on {local}")]
    Exhausted {
        /// Transport asked for.
        transport: Transport,
        /// Address asked for.
        local: IpAddr,
    },
    /// The kernel refused for another reason, such as an address that the interface does not have.
    #[error("cannot reserve {transport} port {} of {} in the kernel: {source}", addr.port(), addr.ip())]
    Kernel {
        /// Transport asked for.
        transport: Transport,
        /// Address and port asked for.
        addr: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}

impl From<PortError> for io::Error {
    fn from(error: PortError) -> Self {
        let kind = match &error {
            PortError::InUseHere { .. } | PortError::InUseByKernel { .. } => io::ErrorKind::AddrInUse,
            // What connect(2) reports then is EADDRNOTAVAIL.
            PortError::Exhausted { .. } => io::ErrorKind::AddrNotAvailable,
            PortError::Kernel { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}

type Key = (Transport, IpAddr, u16);

/// What a port is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A connection, which may share it with connections to elsewhere.
    Connection,
    /// A socket that must be the only one and takes any port.
    Any,
    /// A socket that must be the only one and asked for this port. Connections that a former listener left
    /// behind are not in the way, as for listeners of the standard library, which set SO_REUSEADDR.
    Named,
}

#[derive(Debug)]
struct Taken {
    leases: usize,
    /// One of the leases is a listener's or a UDP socket's, and no other socket may use the port.
    claimed: bool,
    /// Keeps the kernel away; dropped with the last lease.
    _reservation: Option<Socket>,
}

#[derive(Debug)]
struct State {
    taken: HashMap<Key, Taken>,
    counters: Box<[u32; COUNTERS]>,
    /// Random numbers drawn.
    drawn: u64,
}

/// Hands out the ports of an engine.
#[derive(Debug, Clone)]
pub(crate) struct PortAllocator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ownership: Ownership,
    candidates: Vec<u16>,
    secret: [u64; 2],
    /// Interface of link-local addresses.
    scope_id: u32,
    state: Mutex<State>,
}

impl PortAllocator {
    /// For addresses of the interface with index `scope_id`. On shared addresses the kernel's ranges are read
    /// from the namespace of the calling thread.
    pub(crate) fn new(ownership: Ownership, scope_id: u32) -> io::Result<Self> {
        let mut seed = [0u8; 16];
        getrandom::fill(&mut seed).map_err(io::Error::from)?;
        let seed = u128::from_ne_bytes(seed);
        Self::with_secret(ownership, scope_id, [seed as u64, (seed >> 64) as u64])
    }

    /// The same with a secret that is given, for simulations that have to repeat.
    pub(crate) fn with_secret(ownership: Ownership, scope_id: u32, secret: [u64; 2]) -> io::Result<Self> {
        let candidates = match ownership {
            Ownership::Own => (FIRST_USER_PORT..=u16::MAX).collect(),
            Ownership::BesideServices => SOCKET_PORTS.collect(),
            Ownership::Shared => {
                let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
                let reserved = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports")?;
                shared_candidates(parse_range(&ephemeral), &parse_list(&reserved))
            }
        };
        let state = State { taken: HashMap::new(), counters: Box::new([0; COUNTERS]), drawn: 0 };
        Ok(PortAllocator {
            inner: Arc::new(Inner { ownership, candidates, secret, scope_id, state: Mutex::new(state) }),
        })
    }

    /// Ports that there are for connections, of each address.
    pub(crate) fn candidates(&self) -> usize {
        self.inner.candidates.len()
    }

    /// A source port of `local` for a connection to `remote`.
    ///
    /// Several connections may share a port; `is_free` says whether none of them goes to `remote` already.
    pub(crate) fn for_connection(
        &self,
        transport: Transport,
        local: IpAddr,
        remote: SocketAddr,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Result<PortLease, PortError> {
        self.search(transport, local, Some(remote), Purpose::Connection, &mut is_free)
    }

    /// A port of `local` that no one else uses: UDP sockets and listeners on port 0.
    pub(crate) fn any(&self, transport: Transport, local: IpAddr) -> Result<PortLease, PortError> {
        self.search(transport, local, None, Purpose::Any, &mut |_| true)
    }

    /// This very port, alone: listeners, and sockets bound by name.
    pub(crate) fn exactly(&self, transport: Transport, addr: SocketAddr) -> Result<PortLease, PortError> {
        if addr.port() == 0 {
            return self.any(transport, addr.ip());
        }
        let mut state = self.inner.lock();
        match self.inner.take(&mut state, transport, addr.ip(), addr.port(), Purpose::Named) {
            Ok(true) => Ok(self.lease(transport, addr.ip(), addr.port(), true)),
            Ok(false) => Err(PortError::InUseHere { transport, addr }),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                Err(PortError::InUseByKernel { transport, addr })
            }
            Err(source) => Err(PortError::Kernel { transport, addr, source }),
        }
    }

    /// One more share of a port for a connection, whatever else it is used for: one that follows on another in
    /// TIME-WAIT, between the same ends.
    pub(crate) fn share(&self, transport: Transport, addr: SocketAddr) -> Result<PortLease, PortError> {
        let mut state = self.inner.lock();
        match state.taken.get_mut(&(transport, addr.ip(), addr.port())) {
            Some(taken) => taken.leases += 1,
            None => return Err(PortError::InUseHere { transport, addr }),
        }
        Ok(self.lease(transport, addr.ip(), addr.port(), false))
    }

    /// Ports taken now.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.inner.lock().taken.len()
    }

    fn search(
        &self,
        transport: Transport,
        local: IpAddr,
        remote: Option<SocketAddr>,
        purpose: Purpose,
        is_free: &mut dyn FnMut(u16) -> bool,
    ) -> Result<PortLease, PortError> {
        let inner = &*self.inner;
        let mut state = inner.lock();
        let count = inner.candidates.len();
        let hash = inner.hash(transport, local, remote);
        let counter = (hash >> 56) as usize % COUNTERS;
        let offset = hash as u32;
        // RFC 6056 section 3.3.5: the first step is of a random length, so that who has seen one port cannot tell the
        // next, nor how many connections were opened meanwhile; from there on one by one, so that each is tried.
        let mut step = 1 + inner.draw(&mut state) % MAX_STEP;
        for _ in 0..count {
            state.counters[counter] = state.counters[counter].wrapping_add(std::mem::replace(&mut step, 1));
            let at = offset.wrapping_add(state.counters[counter]) as usize % count;
            let port = inner.candidates[at];
            if !is_free(port) {
                continue;
            }
            match inner.take(&mut state, transport, local, port, purpose) {
                Ok(true) => return Ok(self.lease(transport, local, port, purpose != Purpose::Connection)),
                Ok(false) => {}
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => {
                    let addr = SocketAddr::new(local, port);
                    return Err(PortError::Kernel { transport, addr, source });
                }
            }
        }
        Err(PortError::Exhausted { transport, local })
    }

    fn lease(&self, transport: Transport, ip: IpAddr, port: u16, claims: bool) -> PortLease {
        PortLease { inner: Arc::clone(&self.inner), transport, ip, port, claims }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random number that nobody without the secret can tell.
    fn draw(&self, state: &mut State) -> u32 {
        state.drawn += 1;
        let mut hasher = SipHasher13::new_with_keys(self.secret[1], self.secret[0]);
        hasher.write_u64(state.drawn);
        hasher.finish() as u32
    }

    /// Where to start looking, and with which counter.
    fn hash(&self, transport: Transport, local: IpAddr, remote: Option<SocketAddr>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        hasher.write_u8(transport as u8);
        let mut write = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => hasher.write(&v6.octets()),
        };
        write(local);
        if let Some(remote) = remote {
            write(remote.ip());
            hasher.write_u16(remote.port());
        }
        hasher.finish()
    }

    /// Takes a port, or one more share of it. False if a socket of the engine is in the way.
    fn take(
        &self,
        state: &mut State,
        transport: Transport,
        ip: IpAddr,
        port: u16,
        purpose: Purpose,
    ) -> io::Result<bool> {
        let key = (transport, ip, port);
        if self.is_covered(state, key) {
            return Ok(false);
        }
        if let Some(taken) = state.taken.get_mut(&key) {
            let shareable = !taken.claimed && purpose != Purpose::Any;
            if shareable {
                taken.leases += 1;
                taken.claimed = purpose == Purpose::Named;
            }
            return Ok(shareable);
        }
        let reservation = match self.ownership {
            Ownership::Own | Ownership::BesideServices => None,
            Ownership::Shared => Some(self.reserve(transport, SocketAddr::new(ip, port))?),
        };
        let claimed = purpose != Purpose::Connection;
        state.taken.insert(key, Taken { leases: 1, claimed, _reservation: reservation });
        Ok(true)
    }

    /// Whether a claim on all addresses is in the way of `key`, or one on any of them if `key` is on all.
    fn is_covered(&self, state: &State, (transport, ip, port): Key) -> bool {
        let taken_by = |ip: IpAddr| state.taken.get(&(transport, ip, port)).is_some_and(|t| t.claimed);
        if ip.is_unspecified() {
            let conflict = |(&(t, other, p), taken): (&Key, &Taken)| {
                (t, p) == (transport, port) && other.is_ipv4() == ip.is_ipv4() && taken.claimed
            };
            return state.taken.iter().any(conflict);
        }
        match ip {
            IpAddr::V4(_) => taken_by(Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => taken_by(Ipv6Addr::UNSPECIFIED.into()),
        }
    }

    /// Binds a kernel socket without SO_REUSEADDR, so that no other socket can have the port.
    fn reserve(&self, transport: Transport, addr: SocketAddr) -> io::Result<Socket> {
        let kind = match transport {
            Transport::Tcp => Type::STREAM,
            Transport::Udp => Type::DGRAM,
        };
        let socket = Socket::new(Domain::for_address(addr), kind, None)?;
        let addr = match addr {
            SocketAddr::V6(v6) => {
                socket.set_only_v6(true)?;
                let scope = if v6.ip().is_unicast_link_local() { self.scope_id } else { 0 };
                SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope))
            }
            v4 => v4,
        };
        if transport == Transport::Udp {
            // Datagrams that reach the kernel all the same are not worth queueing for a socket nobody reads.
            let _ = socket.set_recv_buffer_size(0);
        }
        socket.bind(&addr.into())?;
        Ok(socket)
    }
}

/// A port in use; given back on drop.
#[derive(Debug)]
pub(crate) struct PortLease {
    inner: Arc<Inner>,
    transport: Transport,
    ip: IpAddr,
    port: u16,
    /// It is this lease that keeps other sockets away.
    claims: bool,
}

impl PortLease {
    /// Whether no other socket may have the port meanwhile.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.claims
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let key = (self.transport, self.ip, self.port);
        let mut state = self.inner.lock();
        if let Some(taken) = state.taken.get_mut(&key) {
            taken.leases -= 1;
            taken.claimed &= !self.claims;
            if taken.leases == 0 {
                state.taken.remove(&key);
            }
        }
    }
}

/// Ports from 1024 up, without the kernel's ephemeral range unless that leaves too few, and without those
/// that the administrator reserved.
fn shared_candidates(ephemeral: Option<RangeInclusive<u16>>, reserved: &[RangeInclusive<u16>]) -> Vec<u16> {
    let allowed = |port: &u16| !reserved.iter().any(|range| range.contains(port));
    let all = || (FIRST_USER_PORT..=u16::MAX).filter(allowed);
    let outside: Vec<u16> =
        all().filter(|port| !ephemeral.as_ref().is_some_and(|range| range.contains(port))).collect();
    if outside.len() < FEW_PORTS { all().collect() } else { outside }
}

/// `"32768\t60999\n"`.
fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Some(low..=high),
        _ => None,
    }
}

/// `"8080,9000-9010"`; what cannot be read is left out.
fn parse_list(text: &str) -> Vec<RangeInclusive<u16>> {
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some(low.trim().parse().ok()?..=high.trim().parse().ok()?)
        })
        .collect()
}

#[cfg(test)]
mod tests;
