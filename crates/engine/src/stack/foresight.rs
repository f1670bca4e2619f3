//! What the packets of a batch will need is fetched while others are dealt with: with many flows each packet's state
//! is somewhere in memory where nothing has been for long, and the processor can wait for all of them at once.

use std::net::{Ipv4Addr, Ipv6Addr};

use bypath_wire::ethernet::EtherType;
use bypath_wire::ip::protocol;
use bypath_wire::prefetch::{prefetch, prefetch_part};

use super::Stack;
use crate::flow::App;
use crate::flow_table::FlowKey;
use crate::packet::NO_FLOW;
use crate::template::Medium;

/// Packets whose flows are fetched at once: what the processor has under way at the same time, and the caches keep.
pub(crate) const AHEAD: usize = 16;
/// With fewer flows all of them are in the cache anyway.
const MANY: usize = 256;
/// What of a packet is read before its payload.
const HEADERS: usize = 128;

impl Stack {
    /// Whether there are so many flows that looking ahead is worth it.
    #[inline]
    pub(crate) fn looks_ahead(&self) -> bool {
        self.flows.len() >= MANY
    }

    /// Fetches what `packets`, at most [`AHEAD`] of them, will need, and notes for each the flow that it seems to belong
    /// to. Nothing is checked: the packet itself is, when its turn comes.
    pub(crate) fn foresee<'p>(&self, packets: impl Iterator<Item = &'p [u8]> + Clone, flows: &mut [u32]) {
        for packet in packets.clone() {
            prefetch_part(packet, 0, HEADERS);
        }
        for (packet, flow) in packets.zip(&mut *flows) {
            *flow = self.glance(packet).and_then(|key| self.table.find(&key)).unwrap_or(NO_FLOW);
        }
        self.fetch(flows);
    }

    /// Fetches all that there is of `flows`; [`NO_FLOW`] among them stands for none.
    pub(crate) fn fetch(&self, flows: &[u32]) {
        for flow in flows {
            self.flows.prefetch(*flow);
            self.wheel.prefetch(*flow);
        }
        for flow in flows {
            self.flows.prefetch_flow(*flow);
        }
        for flow in flows.iter().filter_map(|flow| self.flows.at(*flow)) {
            flow.conn.prefetch();
            if let App::Service(end) = &flow.app {
                prefetch(&**end);
            }
        }
        for flow in flows.iter().filter_map(|flow| self.flows.at(*flow)) {
            flow.conn.prefetch_more();
            if let App::Service(end) = &flow.app {
                end.queue.prefetch();
            }
        }
    }

    /// The flow of a TCP segment in a plain packet.
    #[inline]
    fn glance(&self, packet: &[u8]) -> Option<FlowKey> {
        let network = match self.config.medium {
            Medium::Ip => 0,
            Medium::Ethernet => 14,
        };
        let ethertype = match self.config.medium {
            Medium::Ip => None,
            Medium::Ethernet => Some(EtherType(u16::from_be_bytes(*packet.get(12..)?.first_chunk()?))),
        };
        let ip = packet.get(network..)?;
        match (ip.first()? >> 4, ethertype) {
            (4, None | Some(EtherType::IPV4)) => {
                let ip: &[u8; 24] = ip.first_chunk()?;
                let [0x45, _, _, _, _, _, _, _, _, protocol::TCP, ..] = ip else { return None };
                let (src, dst) = (field::<4>(ip, 12), field::<4>(ip, 16));
                let (sport, dport) = (u16::from_be_bytes(field(ip, 20)), u16::from_be_bytes(field(ip, 22)));
                Some(FlowKey::v4(Ipv4Addr::from(dst), dport, Ipv4Addr::from(src), sport))
            }
            (6, None | Some(EtherType::IPV6)) => {
                let ip: &[u8; 44] = ip.first_chunk()?;
                let [_, _, _, _, _, _, protocol::TCP, ..] = ip else { return None };
                let (src, dst) = (field(ip, 8), field(ip, 24));
                let (sport, dport) = (u16::from_be_bytes(field(ip, 40)), u16::from_be_bytes(field(ip, 42)));
                Some(FlowKey::v6(
                    Ipv6Addr::from_bits(u128::from_be_bytes(dst)),
                    dport,
                    Ipv6Addr::from_bits(u128::from_be_bytes(src)),
                    sport,
                ))
            }
            _ => None,
        }
    }
}

/// The `N` bytes from `at` on.
#[inline(always)]
fn field<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    header.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
