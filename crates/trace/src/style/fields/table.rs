//! Which fields there are, and where each is found.

use super::{Value, View};
use crate::layers::{
    Arp, Icmp, Ipv4, Ipv6, Link, Network, Tcp, TcpFlags, TcpOption, Transport, Udp, ethertype,
};

type Take<'t, 'a> = &'t mut dyn FnMut(Value<'a>);

/// Where a field is found.
#[derive(Clone, Copy)]
enum Get {
    One(for<'a> fn(&View<'a>) -> Option<Value<'a>>),
    /// In the options of TCP, each time that it occurs.
    Option(for<'a> fn(TcpOption<'a>, Take<'_, 'a>)),
    /// In each VLAN tag of a kind.
    Tag {
        tpid: u16,
        get: fn(crate::layers::Vlan) -> Value<'static>,
    },
}

/// A field.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// It may come more than once.
    pub(super) repeats: bool,
    get: Get,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// Whether it may come more than once in a packet.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    pub(super) fn each<'a>(&self, view: &View<'a>, take: Take<'_, 'a>) {
        match self.get {
            Get::One(get) => {
                if let Some(value) = get(view) {
                    take(value);
                }
            }
            Get::Option(get) => {
                if let Transport::Tcp(tcp) = &view.packet.transport {
                    tcp.options().for_each(|option| get(option, take));
                }
            }
            Get::Tag { tpid, get } => {
                view.packet.vlans.iter().filter(|tag| tag.tpid == tpid).for_each(|tag| take(get(*tag)));
            }
        }
    }
}

/// The field of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// All of them.
#[must_use]
pub fn known() -> &'static [Field] {
    FIELDS
}

const fn one(name: &'static str, get: for<'a> fn(&View<'a>) -> Option<Value<'a>>) -> Field {
    Field { name, repeats: false, get: Get::One(get) }
}

const fn option(name: &'static str, get: for<'a> fn(TcpOption<'a>, Take<'_, 'a>)) -> Field {
    Field { name, repeats: true, get: Get::Option(get) }
}

const fn tag(name: &'static str, tpid: u16, get: fn(crate::layers::Vlan) -> Value<'static>) -> Field {
    Field { name, repeats: true, get: Get::Tag { tpid, get } }
}

fn number<'a>(number: impl Into<u64>) -> Option<Value<'a>> {
    Some(Value::Number(number.into()))
}

fn arp<'v, 'a>(view: &'v View<'a>) -> Option<&'v Arp<'a>> {
    if let Network::Arp(arp) = &view.packet.network { Some(arp) } else { None }
}

fn ip<'v, 'a>(view: &'v View<'a>) -> Option<&'v Ipv4<'a>> {
    if let Network::Ipv4(ip) = &view.packet.network { Some(ip) } else { None }
}

fn ip6<'v, 'a>(view: &'v View<'a>) -> Option<&'v Ipv6<'a>> {
    if let Network::Ipv6(ip) = &view.packet.network { Some(ip) } else { None }
}

fn tcp<'v, 'a>(view: &'v View<'a>) -> Option<&'v Tcp<'a>> {
    view.packet.tcp()
}

fn udp<'v>(view: &'v View<'_>) -> Option<&'v Udp> {
    view.packet.udp()
}

fn icmp<'v>(view: &'v View<'_>) -> Option<&'v Icmp> {
    if let Transport::Icmpv4(icmp) = &view.packet.transport { Some(icmp) } else { None }
}

fn icmp6<'v>(view: &'v View<'_>) -> Option<&'v Icmp> {
    if let Transport::Icmpv6(icmp) = &view.packet.transport { Some(icmp) } else { None }
}

fn flag<'a>(view: &View<'a>, flag: TcpFlags) -> Option<Value<'a>> {
    Some(Value::Flag(tcp(view)?.flags.contains(flag)))
}

/// Bytes of the record; the dissection has checked that they are there.
fn record_bytes<'a>(view: &View<'a>, at: usize, len: usize) -> Option<&'a [u8]> {
    view.record.data.get(at..at + len)
}

fn arp_ip<'a>(address: &[u8]) -> Option<Value<'a>> {
    crate::layers::bytes::array_at::<4>(address, 0).map(|address| Value::Ip(address.into()))
}

static FIELDS: &[Field] = &[
    one("frame.number", |v| number(v.record.number)),
    one("frame.time_epoch", |v| Some(Value::Seconds(v.record.time.0))),
    one("frame.time_relative", |v| Some(Value::Seconds(v.record.time.since(v.first)))),
    one("frame.time_delta", |v| Some(Value::Seconds(v.record.time.since(v.previous)))),
    one("frame.len", |v| number(v.record.original_len)),
    one("frame.cap_len", |v| number(v.record.data.len() as u64)),
    one("frame.interface_queue", |v| v.record.queue.and_then(number)),
    one("frame.drop_count", |v| Some(v.record.missed_before).filter(|n| *n > 0).and_then(number)),
    one("frame.verdict.ebpf_xdp", |v| v.record.verdict.and_then(|verdict| number(verdict as u64))),
    one("eth.dst", |v| match v.packet.link {
        Link::Ethernet { .. } => record_bytes(v, 0, 6).map(Value::Mac),
        _ => None,
    }),
    one("eth.src", |v| match v.packet.link {
        Link::Ethernet { .. } => record_bytes(v, 6, 6).map(Value::Mac),
        _ => None,
    }),
    one("eth.type", |v| match v.packet.link {
        Link::Ethernet { ethertype, .. } if ethertype >= 1536 => Some(Value::Hex(ethertype.into(), 4)),
        _ => None,
    }),
    tag("vlan.id", ethertype::VLAN, |tag| Value::Number(tag.id().into())),
    tag("vlan.priority", ethertype::VLAN, |tag| Value::Number(tag.priority().into())),
    tag("ieee8021ad.id", ethertype::QINQ, |tag| Value::Number(tag.id().into())),
    tag("ieee8021ad.priority", ethertype::QINQ, |tag| Value::Number(tag.priority().into())),
    one("arp.opcode", |v| number(arp(v)?.operation)),
    one("arp.src.hw_mac", |v| Some(Value::Mac(arp(v)?.sender_hardware))),
    one("arp.src.proto_ipv4", |v| arp_ip(arp(v)?.sender_protocol)),
    one("arp.dst.hw_mac", |v| Some(Value::Mac(arp(v)?.target_hardware))),
    one("arp.dst.proto_ipv4", |v| arp_ip(arp(v)?.target_protocol)),
    one("ip.hdr_len", |v| number(ip(v)?.header_len as u64)),
    one("ip.dsfield", |v| Some(Value::Hex(ip(v)?.tos.into(), 2))),
    one("ip.dsfield.dscp", |v| number(ip(v)?.tos >> 2)),
    one("ip.dsfield.ecn", |v| number(ip(v)?.tos & 3)),
    one("ip.len", |v| number(ip(v)?.total_len)),
    one("ip.id", |v| Some(Value::Hex(ip(v)?.id.into(), 4))),
    one("ip.flags.df", |v| Some(Value::Flag(ip(v)?.dont_fragment))),
    one("ip.flags.mf", |v| Some(Value::Flag(ip(v)?.more_fragments))),
    one("ip.frag_offset", |v| number(ip(v)?.fragment_offset / 8)),
    one("ip.ttl", |v| number(ip(v)?.ttl)),
    one("ip.proto", |v| number(ip(v)?.protocol)),
    one("ip.checksum", |v| Some(Value::Hex(ip(v)?.checksum.into(), 4))),
    one("ip.src", |v| Some(Value::Ip(ip(v)?.source.into()))),
    one("ip.dst", |v| Some(Value::Ip(ip(v)?.destination.into()))),
    one("ipv6.tclass", |v| Some(Value::Hex(ip6(v)?.traffic_class.into(), 8))),
    one("ipv6.flow", |v| Some(Value::Hex(ip6(v)?.flow_label.into(), 6))),
    one("ipv6.plen", |v| number(ip6(v)?.payload_len)),
    one("ipv6.nxt", |v| number(ip6(v)?.next_header)),
    one("ipv6.hlim", |v| number(ip6(v)?.hop_limit)),
    one("ipv6.src", |v| Some(Value::Ip(ip6(v)?.source.into()))),
    one("ipv6.dst", |v| Some(Value::Ip(ip6(v)?.destination.into()))),
    one("icmp.type", |v| number(icmp(v)?.kind)),
    one("icmp.code", |v| number(icmp(v)?.code)),
    one("icmp.checksum", |v| Some(Value::Hex(icmp(v)?.checksum.into(), 4))),
    one("icmpv6.type", |v| number(icmp6(v)?.kind)),
    one("icmpv6.code", |v| number(icmp6(v)?.code)),
    one("icmpv6.checksum", |v| Some(Value::Hex(icmp6(v)?.checksum.into(), 4))),
    one("udp.srcport", |v| number(udp(v)?.source)),
    one("udp.dstport", |v| number(udp(v)?.destination)),
    one("udp.length", |v| number(udp(v)?.len)),
    one("udp.checksum", |v| Some(Value::Hex(udp(v)?.checksum.into(), 4))),
    one("tcp.srcport", |v| number(tcp(v)?.source)),
    one("tcp.dstport", |v| number(tcp(v)?.destination)),
    one("tcp.seq_raw", |v| number(tcp(v)?.sequence)),
    one("tcp.ack_raw", |v| number(tcp(v)?.acknowledgment)),
    one("tcp.hdr_len", |v| number(tcp(v)?.header_len as u64)),
    one("tcp.flags", |v| Some(Value::Hex(tcp(v)?.flags.bits().into(), 4))),
    one("tcp.flags.fin", |v| flag(v, TcpFlags::FIN)),
    one("tcp.flags.syn", |v| flag(v, TcpFlags::SYN)),
    one("tcp.flags.reset", |v| flag(v, TcpFlags::RST)),
    one("tcp.flags.push", |v| flag(v, TcpFlags::PSH)),
    one("tcp.flags.ack", |v| flag(v, TcpFlags::ACK)),
    one("tcp.flags.urg", |v| flag(v, TcpFlags::URG)),
    one("tcp.flags.ece", |v| flag(v, TcpFlags::ECE)),
    one("tcp.flags.cwr", |v| flag(v, TcpFlags::CWR)),
    one("tcp.window_size_value", |v| number(tcp(v)?.window)),
    one("tcp.checksum", |v| Some(Value::Hex(tcp(v)?.checksum.into(), 4))),
    one("tcp.urgent_pointer", |v| number(tcp(v)?.urgent)),
    one("tcp.len", |v| tcp(v).and(number(v.packet.payload_len as u64))),
    one("tcp.options", |v| {
        Some(Value::Bytes(tcp(v)?.options)).filter(|_| tcp(v).is_some_and(|t| t.header_len > 20))
    }),
    option("tcp.options.mss_val", |option, take| {
        if let TcpOption::MaximumSegmentSize(size) = option {
            take(Value::Number(size.into()));
        }
    }),
    option("tcp.options.wscale.shift", |option, take| {
        if let TcpOption::WindowScale(shift) = option {
            take(Value::Number(shift.into()));
        }
    }),
    option("tcp.options.timestamp.tsval", |option, take| {
        if let TcpOption::Timestamps { value, .. } = option {
            take(Value::Number(value.into()));
        }
    }),
    option("tcp.options.timestamp.tsecr", |option, take| {
        if let TcpOption::Timestamps { echo, .. } = option {
            take(Value::Number(echo.into()));
        }
    }),
    option("tcp.option_kind", |option, take| take(Value::Number(option.kind().into()))),
];
