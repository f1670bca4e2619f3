//! Where things lie: which queue a packet comes to, on which memory node the NIC is, on which cores its interrupts
//! fire. Read without changing anything; [`advice`] says what of it stands in the way.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::error::XdpError;
use crate::nic::{self, NicFacts, RssTable};

/// How a NIC spreads packets over its queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spreading {
    /// There is one queue.
    OneQueue,
    /// Both directions of a connection come to the same queue.
    Symmetric,
    /// They do not: with packets that go both ways through this interface, such as a forwarder's, each direction has a queue
    /// of its own.
    Asymmetric,
    /// The driver does not tell.
    Unknown,
}

impl fmt::Display for Spreading {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Spreading::OneQueue => "one queue",
            Spreading::Symmetric => "symmetric",
            Spreading::Asymmetric => "not symmetric",
            Spreading::Unknown => "unknown",
        })
    }
}

/// Where an interface lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// How packets are spread over its queues.
    pub spreading: Spreading,
    /// Queues that the spreading table names; empty when the driver does not tell.
    pub spread_over: Vec<u32>,
    /// The memory node of the NIC; `None` on machines with one, and where there is no PCI device.
    pub node: Option<u32>,
    /// Its interrupts, and the cores that each may fire on.
    pub interrupts: Vec<(u32, Vec<usize>)>,
}

impl Placement {
    /// Reads it, in this thread's network namespace.
    ///
    /// # Errors
    /// [`XdpError::NoSuchInterface`], or the kernel's refusal to answer.
    pub fn read(facts: &NicFacts) -> Result<Placement, XdpError> {
        let (bus, table) = nic::bus_and_rss(&facts.name)?;
        let spreading = match &table {
            _ if facts.queues() == 1 => Spreading::OneQueue,
            Some(table) => spreading(table),
            None => Spreading::Unknown,
        };
        let mut spread_over = table.map(|table| table.queues).unwrap_or_default();
        spread_over.sort_unstable();
        spread_over.dedup();
        // PCI devices are the same in all namespaces; `/sys/class/net` is not.
        let device = Path::new("/sys/bus/pci/devices").join(bus);
        let node =
            fs::read_to_string(device.join("numa_node")).ok().and_then(|text| text.trim().parse().ok());
        Ok(Placement { spreading, spread_over, node, interrupts: interrupts(&device) })
    }
}

fn interrupts(device: &Path) -> Vec<(u32, Vec<usize>)> {
    let Ok(entries) = fs::read_dir(device.join("msi_irqs")) else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut all: Vec<(u32, Vec<usize>)> = numbers
        .filter_map(|irq: u32| {
            let list = fs::read_to_string(format!("/proc/irq/{irq}/effective_affinity_list")).ok()?;
            Some((irq, cores(&list)))
        })
        .collect();
    all.sort_unstable();
    all
}

/// The kernel's lists of processors: `0-3,8`.
fn cores(list: &str) -> Vec<usize> {
    let part = |text: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(part).flatten().collect()
}

/// The memory node of a core, where there is more than one.
pub fn node_of_core(core: usize) -> Option<u32> {
    let entries = fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}")).ok()?;
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("node")?.parse().ok()).next()
}

/// Toeplitz is symmetric when the key repeats after 16 bits: then swapping addresses and ports, all multiples of 16
/// bits long, swaps equal terms. Some NICs combine both directions before they hash.
fn spreading(table: &RssTable) -> Spreading {
    match table {
        RssTable { combines_directions: true, .. } => Spreading::Symmetric,
        RssTable { toeplitz: true, key, .. } if key.len() >= 4 => {
            let repeats = key.windows(3).all(|bytes| bytes[0] == bytes[2]);
            if repeats { Spreading::Symmetric } else { Spreading::Asymmetric }
        }
        RssTable { toeplitz: false, .. } => Spreading::Asymmetric,
        RssTable { .. } => Spreading::Unknown,
    }
}

/// What stands in the way of speed, for workers on these cores that serve these queues, and each time what helps.
pub fn advice(
    name: &str,
    placement: &Placement,
    queues: &[u32],
    workers: &[usize],
    node_of: impl Fn(usize) -> Option<u32>,
) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(nic) = placement.node {
        let far: Vec<usize> =
            workers.iter().copied().filter(|core| node_of(*core).is_some_and(|node| node != nic)).collect();
        if !far.is_empty() {
            all.push(format!(
                "{name} is on memory node {nic}, and the cores {far:?} are on another: choose --cores from \
                 /sys/devices/system/node/node{nic}/cpulist"
            ));
        }
    }
    let unserved: Vec<u32> =
        placement.spread_over.iter().copied().filter(|queue| !queues.contains(queue)).collect();
    if !unserved.is_empty() {
        all.push(format!(
            "{name} spreads packets over queues that nobody serves, {unserved:?}: what comes there is lost or the \
             kernel's; serve them (--queues) or spread over fewer (ethtool -X {name} equal N)"
        ));
    }
    let shared: Vec<u32> = placement
        .interrupts
        .iter()
        .filter(|(_, on)| matches!(on[..], [core] if workers.contains(&core)))
        .map(|(irq, _)| *irq)
        .collect();
    if !shared.is_empty() {
        all.push(format!(
            "interrupts {shared:?} of {name} fire on cores of workers: move them to others of its memory node \
             (/proc/irq/N/smp_affinity_list), and stop irqbalance"
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Placement {
        Placement { spreading: Spreading::Unknown, spread_over: vec![], node: None, interrupts: vec![] }
    }

    fn toeplitz(key: &[u8]) -> RssTable {
        RssTable { toeplitz: true, combines_directions: false, key: key.to_vec(), queues: vec![0, 1] }
    }

    #[test]
    fn a_key_that_repeats_after_two_bytes_is_symmetric() {
        assert_eq!(spreading(&toeplitz(&[0x6d, 0x5a].repeat(20))), Spreading::Symmetric);
        // The key of Microsoft's verification suite.
        assert_eq!(
            spreading(&toeplitz(&[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2])),
            Spreading::Asymmetric
        );
        assert_eq!(spreading(&toeplitz(&[])), Spreading::Unknown);
        let combined = RssTable { combines_directions: true, ..toeplitz(&[1, 2, 3, 4, 5]) };
        assert_eq!(spreading(&combined), Spreading::Symmetric);
    }

    #[test]
    fn what_lies_well_needs_no_advice() {
        let near = Placement {
            node: Some(0),
            spread_over: vec![0, 1],
            interrupts: vec![(30, vec![2]), (31, vec![0, 1, 2, 3])],
            ..nowhere()
        };
        assert_eq!(advice("eth0", &near, &[0, 1], &[0, 1], |_| Some(0)), Vec::<String>::new());
        assert_eq!(advice("eth0", &nowhere(), &[0], &[0], |_| None), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_stands_in_the_way_is_told_with_what_helps() {
        let bad = Placement {
            node: Some(1),
            spread_over: vec![0, 1, 2],
            interrupts: vec![(30, vec![4])],
            ..nowhere()
        };
        let all = advice("eth0", &bad, &[0, 1], &[4], |_| Some(0));
        assert!(all[0].contains("node 1") && all[0].contains("[4]") && all[0].contains("--cores"), "{all:?}");
        assert!(all[1].contains("[2]") && all[1].contains("ethtool -X eth0 equal"), "{all:?}");
        assert!(all[2].contains("[30]") && all[2].contains("smp_affinity_list"), "{all:?}");
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(cores("0-2,8\n"), vec![0, 1, 2, 8]);
        assert_eq!(cores("\n"), Vec::<usize>::new());
    }
}
