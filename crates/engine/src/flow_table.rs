//! From the addresses and ports of a segment to the flow that it belongs to, and to the worker that owns it.
//!
//! The hash is keyed with random seeds, so nobody outside can choose ports that all fall into one bucket
//! (RFC 6056 and the hash-flooding literature); all workers share the seeds, because all must agree on who
//! owns a flow. The table stores slot indices of the worker's [`crate::slab::Slab`] and, beside it, the keys
//! to compare with. Everything is reserved up front for the number of flows the worker was configured for.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ahash::RandomState;
use hashbrown::HashTable;

/// The 4-tuple of a flow, seen from here.
///
/// An IPv4-mapped IPv6 address is kept as the IPv6 address it is on the wire. A key whose two ends are of
/// different families cannot exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowKey {
    /// Local address in the high half, remote in the low; ports likewise.
    V4 {
        /// Both addresses.
        addrs: u64,
        /// Both ports.
        ports: u32,
    },
    /// As `V4`; halves of 64 bits keep the alignment, and with it the size of the key, down.
    V6 {
        /// Local address, high half first.
        local: [u64; 2],
        /// Remote address, high half first.
        remote: [u64; 2],
        /// Both ports.
        ports: u32,
    },
}

const _: () = assert!(size_of::<FlowKey>() <= 40);

impl FlowKey {
    /// The key of an IPv4 flow.
    pub(crate) fn v4(local: Ipv4Addr, local_port: u16, remote: Ipv4Addr, remote_port: u16) -> Self {
        let addrs = u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits());
        FlowKey::V4 { addrs, ports: pack_ports(local_port, remote_port) }
    }

    /// The key of an IPv6 flow.
    pub(crate) fn v6(local: Ipv6Addr, local_port: u16, remote: Ipv6Addr, remote_port: u16) -> Self {
        FlowKey::V6 {
            local: halves(local),
            remote: halves(remote),
            ports: pack_ports(local_port, remote_port),
        }
    }

    /// The key of a flow between two socket addresses; none if they are of different families.
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        match (local.ip(), remote.ip()) {
            (IpAddr::V4(l), IpAddr::V4(r)) => Some(Self::v4(l, local.port(), r, remote.port())),
            (IpAddr::V6(l), IpAddr::V6(r)) => Some(Self::v6(l, local.port(), r, remote.port())),
            _ => None,
        }
    }

    /// Local and remote port.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let (FlowKey::V4 { ports, .. } | FlowKey::V6 { ports, .. }) = self;
        ((ports >> 16) as u16, *ports as u16)
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        match *self {
            FlowKey::V4 { addrs, ports } => {
                SocketAddr::from((Ipv4Addr::from_bits((addrs >> 32) as u32), (ports >> 16) as u16))
            }
            FlowKey::V6 { local, ports, .. } => SocketAddr::from((whole(local), (ports >> 16) as u16)),
        }
    }

    /// The peer's end.
    pub(crate) fn remote(&self) -> SocketAddr {
        match *self {
            FlowKey::V4 { addrs, ports } => {
                SocketAddr::from((Ipv4Addr::from_bits(addrs as u32), ports as u16))
            }
            FlowKey::V6 { remote, ports, .. } => SocketAddr::from((whole(remote), ports as u16)),
        }
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            FlowKey::V4 { addrs, ports } => {
                state.write_u64(addrs);
                state.write_u32(ports);
            }
            FlowKey::V6 { local, remote, ports } => {
                for half in local.into_iter().chain(remote) {
                    state.write_u64(half);
                }
                state.write_u32(ports);
            }
        }
    }
}

fn pack_ports(local: u16, remote: u16) -> u32 {
    u32::from(local) << 16 | u32::from(remote)
}

fn halves(addr: Ipv6Addr) -> [u64; 2] {
    let bits = addr.to_bits();
    [(bits >> 64) as u64, bits as u64]
}

fn whole([high, low]: [u64; 2]) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))
}

/// The keyed hash of an engine; workers get clones of one.
#[derive(Debug, Clone)]
pub(crate) struct FlowHasher(RandomState);

impl FlowHasher {
    /// Given seeds, for simulations that have to repeat.
    pub(crate) fn with_seeds([a, b, c, d]: [u64; 4]) -> Self {
        FlowHasher(RandomState::with_seeds(a, b, c, d))
    }

    /// The hash of a key.
    pub(crate) fn hash(&self, key: &FlowKey) -> u64 {
        self.0.hash_one(key)
    }

    /// Which of `workers` owns the flow; 0 if there is one or none.
    pub(crate) fn owner_of(&self, key: &FlowKey, workers: usize) -> usize {
        // Mixed once more: the table of each worker uses the hash itself, and would fill only a part of its
        // buckets if the same bits had already chosen the worker.
        let mixed = self.hash(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((mixed * workers as u64) >> 32) as usize
    }
}

/// The flows of one worker by 4-tuple. Lookup, insertion and removal are O(1) at any size.
#[derive(Debug)]
pub(crate) struct FlowTable {
    hasher: FlowHasher,
    table: HashTable<u32>,
    /// Key of the flow in each slot; meaningful where the table holds the slot's index.
    keys: Vec<FlowKey>,
    capacity: usize,
}

impl FlowTable {
    /// Room for slot indices below `capacity`.
    pub(crate) fn with_capacity(capacity: usize, hasher: FlowHasher) -> Self {
        // Twice the room: at that load a removal leaves a tombstone in one case out of thousands, and later
        // insertions use those up, so a rehash of everything, which would stall the worker, does not come.
        let table = HashTable::with_capacity(capacity.saturating_mul(2));
        FlowTable { hasher, table, keys: Vec::with_capacity(capacity), capacity }
    }

    /// Flows in the table.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot of the flow with this key.
    #[inline]
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        let keys = &self.keys;
        self.table.find(self.hasher.hash(key), |&index| keys[index as usize] == *key).copied()
    }

    /// Files slot `index` under `key`. Fails if the key is taken or the index beyond the capacity; the slot
    /// must not be filed under another key.
    pub(crate) fn insert(&mut self, key: FlowKey, index: u32) -> Result<(), FlowExists> {
        if let Some(taken) = self.find(&key) {
            return Err(FlowExists { index: taken });
        }
        let at = index as usize;
        if at >= self.capacity {
            return Err(FlowExists { index });
        }
        if at >= self.keys.len() {
            self.keys.resize(at + 1, key);
        }
        self.keys[at] = key;
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table.insert_unique(hasher.hash(&key), index, |&other| hasher.hash(&keys[other as usize]));
        Ok(())
    }

    /// Takes the flow with this key out and returns its slot.
    pub(crate) fn remove(&mut self, key: &FlowKey) -> Option<u32> {
        let keys = &self.keys;
        let hash = self.hasher.hash(key);
        let found = self.table.find_entry(hash, |&index| keys[index as usize] == *key).ok()?;
        Some(found.remove().0)
    }

    /// The key under which slot `index` was filed last.
    pub(crate) fn key_of(&self, index: u32) -> Option<&FlowKey> {
        self.keys.get(index as usize)
    }

    /// The hash shared by all workers.
    pub(crate) fn hasher(&self) -> &FlowHasher {
        &self.hasher
    }
}

/// A flow could not be filed: its key is in use by the flow in slot `index`, or that slot is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a connection between these addresses and ports exists already (slot {index})")]
pub(crate) struct FlowExists {
    /// Slot of the flow in the way.
    pub(crate) index: u32,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn hasher() -> FlowHasher {
        FlowHasher::with_seeds([1, 2, 3, 4])
    }

    fn nth(n: u32) -> FlowKey {
        let remote = Ipv4Addr::from_bits(0xc612_0000 | n >> 16);
        FlowKey::v4(Ipv4Addr::new(198, 18, 0, 1), 80, remote, n as u16)
    }

    #[test]
    fn a_key_gives_back_both_ends() {
        for (local, remote) in [("198.18.0.1:80", "203.0.113.9:65535"), ("[2001:db8::1]:443", "[fe80::2]:1")]
        {
            let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
            let key = FlowKey::new(local, remote).unwrap();
            assert_eq!((key.local(), key.remote()), (local, remote));
        }
    }

    #[test]
    fn ends_of_two_families_make_no_key() {
        assert_eq!(FlowKey::new("1.2.3.4:5".parse().unwrap(), "[::1]:5".parse().unwrap()), None);
    }

    #[test]
    fn direction_matters() {
        let (a, b) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        assert_ne!(FlowKey::new(a, b), FlowKey::new(b, a));
    }

    #[test]
    fn a_second_flow_with_the_same_key_is_refused() {
        let mut table = FlowTable::with_capacity(8, hasher());
        assert_eq!(table.insert(nth(1), 0), Ok(()));
        assert_eq!(table.insert(nth(1), 1), Err(FlowExists { index: 0 }));
        assert_eq!(table.insert(nth(2), 8), Err(FlowExists { index: 8 }));
        assert_eq!(table.remove(&nth(1)), Some(0));
        assert_eq!(table.remove(&nth(1)), None);
    }

    #[test]
    fn a_million_flows_come_and_go_without_growing() {
        const FLOWS: u32 = 1 << 20;
        let mut table = FlowTable::with_capacity(FLOWS as usize, hasher());
        let room = table.table.capacity();
        let bytes = table.table.allocation_size();
        for n in 0..FLOWS {
            table.insert(nth(n), n).unwrap();
        }
        assert_eq!(table.find(&nth(FLOWS - 1)), Some(FLOWS - 1));
        for n in 0..FLOWS {
            assert_eq!(table.remove(&nth(n)), Some(n));
            table.insert(nth(FLOWS + n), n).unwrap();
        }
        assert_eq!((table.len(), table.find(&nth(0))), (FLOWS as usize, None));
        assert_eq!(table.table.allocation_size(), bytes);
        assert!(room - table.table.capacity() < room / 1000, "tombstones pile up");
    }

    #[test]
    fn workers_agree_on_the_owner_and_share_evenly() {
        let (one, other) = (hasher(), hasher());
        for workers in [1, 2, 3, 8] {
            let mut share = vec![0u32; workers];
            for n in 0..8000 {
                let owner = one.owner_of(&nth(n), workers);
                assert_eq!(owner, other.owner_of(&nth(n), workers));
                share[owner] += 1;
            }
            let fair = 8000 / workers as u32;
            assert!(share.iter().all(|&s| s > fair * 8 / 10 && s < fair * 12 / 10 + 1), "{share:?}");
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(ops in prop::collection::vec((any::<bool>(), 0u32..48, any::<bool>()), 1..300)) {
            let mut table = FlowTable::with_capacity(32, hasher());
            let mut model: HashMap<u32, u32> = HashMap::new();
            let mut free: Vec<u32> = (0..32).collect();
            let key = |n: u32, v6: bool| match v6 {
                true => FlowKey::v6(Ipv6Addr::LOCALHOST, 1, Ipv6Addr::from_bits(n.into()), 2),
                false => nth(n),
            };
            for (insert, n, v6) in ops {
                let id = n | u32::from(v6) << 31;
                if insert {
                    let Some(&index) = free.last() else { continue };
                    let result = table.insert(key(n, v6), index);
                    prop_assert_eq!(result.is_ok(), !model.contains_key(&id));
                    if result.is_ok() {
                        free.pop();
                        model.insert(id, index);
                    }
                } else {
                    let removed = table.remove(&key(n, v6));
                    prop_assert_eq!(removed, model.remove(&id));
                    free.extend(removed);
                }
                prop_assert_eq!(table.len(), model.len());
                for (&id, &index) in &model {
                    let key = key(id & !(1 << 31), id >> 31 == 1);
                    prop_assert_eq!(table.find(&key), Some(index));
                    prop_assert_eq!(table.key_of(index), Some(&key));
                }
            }
        }
    }
}
