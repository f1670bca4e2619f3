//! The options of commands that send raw frames: interfaces, and what the frames say.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bypath_measure::blast::headers::{HeaderSpec, Transport};
use bypath_measure::blast::maker::Content;
use bypath_measure::blast::neighbour;
use bypath_measure::blast::port::{PortConfig, Wanted, interface_addresses};
use bypath_measure::blast::range::FieldRange;
use bypath_measure::blast::sizes::Sizes;
use bypath_measure::blast::{BlastError, netns::within};
use bypath_wire::ethernet::MacAddr;
use bypath_xdp::NicFacts;
use clap::{Args, ValueEnum};

use crate::capture_args::CaptureArgs;
use crate::engine_args::{AttachChoice, BindChoice, NumberList, PollChoice, TransmitChoice};

/// Where frames go when nothing else is said: an address that nobody has, of those set aside for benchmarks (RFC 2544,
/// appendix C.2.2). The receiver takes it for its own.
const DST_V4: &str = "198.18.255.254";
const SRC_V4: &str = "198.18.255.253";
const SRC_V6: &str = "fd00:198:18::fffd";
const DST_PORT: u16 = 9;
const SRC_PORT: u16 = 49_152;

/// Where frames are sent and received.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Interfaces")]
pub(crate) struct PortArgs {
    /// The network interface.
    #[arg(long, value_name = "IFACE")]
    pub(crate) dev: Option<String>,

    /// The network namespace it is in, one of `ip netns list`.
    #[arg(long, value_name = "NAME")]
    pub(crate) netns: Option<String>,

    /// Its queues, dealt out to the workers in turn, like 0 or 0-3.
    #[arg(long, value_name = "LIST")]
    pub(crate) queues: Option<NumberList>,

    /// The interface at the other end of the wire: both ends run in this process.
    #[arg(long, value_name = "IFACE")]
    pub(crate) to_dev: Option<String>,

    /// The network namespace of --to-dev.
    #[arg(long, value_name = "NAME", requires = "to_dev")]
    pub(crate) to_netns: Option<String>,

    /// The queues of --to-dev.
    #[arg(long, value_name = "LIST", requires = "to_dev")]
    pub(crate) to_queues: Option<NumberList>,

    /// Workers for each interface, each with a queue and a thread of its own.
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,

    /// CPU cores to pin the workers to: those of --dev first, then those of --to-dev.
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<NumberList>,

    /// How frames get between the NIC and our memory.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: BindChoice,

    /// Where the kernel runs the steering program: in the driver, or behind it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) xdp: AttachChoice,

    /// By which way frames leave: the AF_XDP ring, the pump (a program on a core of its own that needs neither skb nor system
    /// call), or the pump while there is much to send.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tx: TransmitChoice,

    /// The CPU core that the pump takes; the last one that no worker is pinned to by default.
    #[arg(long, value_name = "N")]
    pub(crate) pump_core: Option<usize>,

    /// What a worker does while nothing is due: spin, or sleep.
    #[arg(long, value_enum, default_value_t = PollChoice::Busy)]
    pub(crate) poll: PollChoice,

    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
}

impl PortArgs {
    fn config(&self, interface: String, netns: Option<String>, queues: Option<&NumberList>) -> PortConfig {
        PortConfig {
            interface,
            netns,
            queues: queues.map(|list| list.0.clone()).unwrap_or_default(),
            workers: usize::from(self.workers),
            bind: self.mode.into(),
            attach: self.xdp.into(),
            transmit: bypath::TransmitPath::Ring,
            pump_core: self.pump_core,
            cores: self.pins(),
        }
    }

    /// The interface at this end.
    pub(crate) fn near(&self) -> Result<PortConfig, BlastError> {
        let dev = self.dev.clone().ok_or_else(|| {
            BlastError::Usage("which interface? Name it with --dev; `ip link` lists them".into())
        })?;
        let transmit = self.tx.path();
        Ok(PortConfig { transmit, ..self.config(dev, self.netns.clone(), self.queues.as_ref()) })
    }

    /// The interface at the other end.
    pub(crate) fn far(&self) -> Option<PortConfig> {
        let dev = self.to_dev.clone()?;
        Some(self.config(dev, self.to_netns.clone(), self.to_queues.as_ref()))
    }

    /// The cores to pin to.
    pub(crate) fn pins(&self) -> Vec<usize> {
        self.cores.iter().flat_map(|list| &list.0).map(|core| *core as usize).collect()
    }
}

/// `--proto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportChoice {
    /// UDP.
    #[default]
    Udp,
    /// TCP segments that belong to no connection.
    Tcp,
}

/// What frames say.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Frames")]
pub(crate) struct FrameArgs {
    /// Destination addresses: one, FIRST-LAST, or NETWORK/LEN.
    #[arg(long, value_name = "RANGE")]
    pub(crate) dst_ip: Option<FieldRange<IpAddr>>,

    /// Source addresses.
    #[arg(long, value_name = "RANGE")]
    pub(crate) src_ip: Option<FieldRange<IpAddr>>,

    /// Destination MAC addresses. Without it --to-dev's own, or whoever answers ARP for the destination.
    #[arg(long, value_name = "RANGE")]
    pub(crate) dst_mac: Option<FieldRange<MacAddr>>,

    /// Source MAC addresses; the interface's own by default.
    #[arg(long, value_name = "RANGE")]
    pub(crate) src_mac: Option<FieldRange<MacAddr>>,

    /// Destination ports.
    #[arg(long, value_name = "RANGE")]
    pub(crate) dst_port: Option<FieldRange<u16>>,

    /// Source ports: a range spreads frames over the receiver's queues.
    #[arg(long, value_name = "RANGE")]
    pub(crate) src_port: Option<FieldRange<u16>>,

    /// What IP carries.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) proto: TransportChoice,

    /// VLAN identifiers, at most two, the outer one first.
    #[arg(long, value_name = "ID", value_delimiter = ',', num_args = 1..=2, value_parser = clap::value_parser!(u16).range(0..=4095))]
    pub(crate) vlan: Vec<u16>,

    /// Differentiated services code point.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=63))]
    pub(crate) dscp: u8,

    /// Time to live, or hop limit.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ttl: u8,

    /// Send without signatures: nothing but arrivals is counted then.
    #[arg(long)]
    pub(crate) no_signature: bool,

    /// Send the frames of a capture (pcap or pcapng), again and again. TCP and UDP packets with room for it are
    /// signed; the others are sent as they are.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dst_ip", "src_ip", "vlan", "proto"])]
    pub(crate) replay: Option<PathBuf>,
}

impl FrameArgs {
    /// What the far end must steer to itself.
    pub(crate) fn wanted(&self, content: Option<&Content>) -> Result<Vec<Wanted>, BlastError> {
        if self.replay.is_some() {
            let mut wanted: Vec<Wanted> = Vec::new();
            for template in content.iter().flat_map(|content| content.templates()) {
                let Some((address, port, _)) = template.destination() else { continue };
                let (addresses, ports) = (FieldRange::single(address), FieldRange::single(port));
                if !wanted.iter().any(|known| known.addresses == addresses && known.ports == ports) {
                    wanted.push(Wanted { addresses, ports });
                }
            }
            return Ok(wanted);
        }
        Ok(vec![Wanted { addresses: self.dst_ip()?, ports: self.dst_port() }])
    }

    fn dst_port(&self) -> FieldRange<u16> {
        self.dst_port.unwrap_or(FieldRange::single(DST_PORT))
    }

    fn dst_ip(&self) -> Result<FieldRange<IpAddr>, BlastError> {
        match self.dst_ip {
            Some(range) => Ok(range),
            None => DST_V4.parse().map_err(BlastError::Usage),
        }
    }

    /// The headers of what `from` sends to `to`, or to whoever has the destination.
    pub(crate) fn headers(
        &self,
        from: &PortConfig,
        to: Option<&PortConfig>,
    ) -> Result<HeaderSpec, BlastError> {
        let netns = from.netns.as_deref();
        let facts = within(netns, || NicFacts::read(&from.interface))??;
        if to.is_none() && self.dst_ip.is_none() && self.dst_mac.is_none() {
            return Err(BlastError::Usage(
                "where to? Name a destination with --dst-ip, or the interface at the other end with --to-dev"
                    .into(),
            ));
        }
        let dst_ip = self.dst_ip()?;
        let dst_mac = match (self.dst_mac, to) {
            (Some(range), _) => range,
            (None, Some(to)) => {
                let far = within(to.netns.as_deref(), || NicFacts::read(&to.interface))??;
                FieldRange::single(far.mac)
            }
            (None, None) => FieldRange::single(neighbour::resolve(&from.interface, netns, dst_ip.first())?),
        };
        let is_v4 = dst_ip.first().is_ipv4();
        let own = within(netns, || interface_addresses(&from.interface))?;
        let own = own.into_iter().find(|own| own.is_ipv4() == is_v4 && to.is_none());
        let src_ip = match (self.src_ip, own) {
            (Some(range), _) => range,
            (None, Some(own)) => FieldRange::single(own),
            (None, None) if is_v4 => SRC_V4.parse().map_err(BlastError::Usage)?,
            (None, None) => SRC_V6.parse().map_err(BlastError::Usage)?,
        };
        Ok(HeaderSpec {
            dst_mac,
            src_mac: self.src_mac.unwrap_or(FieldRange::single(facts.mac)),
            vlan: self.vlan.iter().copied().take(2).collect(),
            src_ip,
            dst_ip,
            transport: match self.proto {
                TransportChoice::Udp => Transport::Udp,
                TransportChoice::Tcp => Transport::Tcp,
            },
            src_port: self.src_port.unwrap_or(FieldRange::single(SRC_PORT)),
            dst_port: self.dst_port(),
            dscp: self.dscp,
            // Zero would be the default only where no arguments were read.
            ttl: self.ttl.max(1),
        })
    }

    /// What `from` sends to `to`.
    pub(crate) fn content(
        &self,
        sizes: Option<&Sizes>,
        from: &PortConfig,
        to: Option<&PortConfig>,
    ) -> Result<Arc<Content>, BlastError> {
        if let Some(path) = &self.replay {
            let mac = |range: Option<FieldRange<MacAddr>>| range.map(|range| range.first());
            let far = match to {
                Some(to) => Some(within(to.netns.as_deref(), || NicFacts::read(&to.interface))??.mac),
                None => None,
            };
            let dst_mac = mac(self.dst_mac).or(far);
            return Content::captured(path, !self.no_signature, dst_mac, mac(self.src_mac));
        }
        let headers = self.headers(from, to)?;
        let signed = !self.no_signature;
        let shortest = Sizes::fixed(headers.least_size(signed));
        Content::generated(&headers, sizes.unwrap_or(&shortest), signed)
    }
}
