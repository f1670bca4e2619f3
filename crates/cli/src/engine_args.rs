//! The options of the engine, the same for every command that runs it.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bypath::{AttachMode, BindMode, CongestionControl, Engine, EngineBuilder, Poll, TapSink, TransmitPath};
use clap::{Args, ValueEnum};

use crate::capture_args::CaptureArgs;

/// Where the engine attaches and how it runs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    /// The network interface to attach to.
    #[arg(long, value_name = "IFACE")]
    pub(crate) dev: Option<String>,

    /// Work inside this network namespace, one of `ip netns list`.
    #[arg(long, value_name = "NAME")]
    pub(crate) netns: Option<String>,

    /// An address for the engine alone, for which it answers ARP, NDP and ping. May be given once for IPv4
    /// and once for IPv6. Without it the engine borrows ports of the interface's own addresses.
    #[arg(long, value_name = "ADDR/LEN")]
    pub(crate) ip: Vec<Prefix>,

    /// The router for destinations beyond --ip's network.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway: Vec<IpAddr>,

    /// Receive queues to attach to, like 0 or 0-3 or 0,2.
    #[arg(long, value_name = "LIST")]
    pub(crate) queues: Option<NumberList>,

    /// CPU cores to pin the workers to, one worker each, like 2 or 2-3.
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<NumberList>,

    /// How frames get between the NIC and our memory.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: BindChoice,

    /// Packet memory on huge pages of 2 MiB, eight or more for each worker; refused where they are not to be had.
    #[arg(long)]
    pub(crate) huge_pages: bool,

    /// Where the kernel runs the steering program: in the driver, or behind it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) xdp: AttachChoice,

    /// By which way frames leave: the AF_XDP ring, the pump (a program on a core of its own that needs neither skb nor system
    /// call), or the pump while there is much to send.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tx: TransmitChoice,

    /// The CPU core that the pump takes while it runs; one that no worker has by default.
    #[arg(long, value_name = "N")]
    pub(crate) pump_core: Option<usize>,

    /// What an idle worker does: spin, or sleep until a packet or a timer is due.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) poll: PollChoice,

    /// How long the acknowledgement of a stream waits for more segments to cover; 0: every second one is acknowledged
    /// at once.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) ack_hold: u32,

    /// Tell at the end where the time of the workers went, phase by phase.
    #[arg(long)]
    pub(crate) profile: bool,

    /// The congestion control of TCP: cubic, newreno, bbr, dctcp, or none for a window that nothing changes, of
    /// 1 MiB or as many bytes as are named.
    #[arg(long, value_name = "NAME[:BYTES]", default_value = "cubic")]
    pub(crate) cc: CongestionChoice,

    /// Who watches the engine's packets.
    #[arg(skip)]
    watcher: Arc<OnceLock<TapSink>>,

    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
}

impl EngineArgs {
    /// Lets the engine that is built from here on be watched.
    pub(crate) fn watch(&self, sink: TapSink) {
        // There is one engine, and one who watches it.
        let _ = self.watcher.set(sink);
    }

    /// The engine that these options describe. `--netns` is entered by [`crate::stack`] before.
    pub(crate) fn builder(&self) -> EngineBuilder {
        let mut builder = Engine::builder()
            .interface(self.dev.clone().unwrap_or_default())
            .bind_mode(self.mode.into())
            .attach_mode(self.xdp.into())
            .transmit_path(self.tx.path())
            .poll(match self.poll {
                PollChoice::Busy => Poll::Busy,
                PollChoice::Adaptive => Poll::Adaptive,
            })
            .ack_patience(Duration::from_micros(self.ack_hold.into()))
            .huge_pages(self.huge_pages)
            .profile(self.profile)
            .congestion_control(self.cc.algorithm);
        // Where there are both, the watcher is told by the capture.
        if let Some(sink) = self.watcher.get().cloned().or_else(|| self.capture.sink()) {
            builder = builder.tap(sink);
        }
        if let Some(core) = self.pump_core {
            builder = builder.pump_core(core);
        }
        if let Some(bytes) = self.cc.fixed_window {
            builder = builder.fixed_window(bytes);
        }
        for own in &self.ip {
            builder = builder.own_address(own.addr, own.len);
        }
        for gateway in &self.gateway {
            builder = builder.gateway(*gateway);
        }
        if let Some(queues) = &self.queues {
            builder = builder.queues(queues.0.clone());
        }
        if let Some(cores) = &self.cores {
            builder = builder.cores(cores.0.iter().map(|core| *core as usize).collect());
        }
        builder
    }
}

/// `--mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BindChoice {
    /// Zero copy where the driver has it, else copy.
    #[default]
    Auto,
    /// Zero copy or nothing.
    Zerocopy,
    /// The kernel copies each frame.
    Copy,
}

impl From<BindChoice> for BindMode {
    fn from(choice: BindChoice) -> BindMode {
        match choice {
            BindChoice::Auto => BindMode::Auto,
            BindChoice::Zerocopy => BindMode::ZeroCopy,
            BindChoice::Copy => BindMode::Copy,
        }
    }
}

/// `--xdp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AttachChoice {
    /// In the driver where it can, else behind it.
    #[default]
    Auto,
    /// In the driver or nothing.
    Native,
    /// Behind the driver.
    Generic,
}

impl From<AttachChoice> for AttachMode {
    fn from(choice: AttachChoice) -> AttachMode {
        match choice {
            AttachChoice::Auto => AttachMode::Auto,
            AttachChoice::Native => AttachMode::Native,
            AttachChoice::Generic => AttachMode::Generic,
        }
    }
}

/// `--tx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransmitChoice {
    /// The pump under load where it can be had and pays, else the ring.
    Auto,
    /// The ring.
    #[default]
    Ring,
    /// The pump or nothing.
    Pump,
}

impl TransmitChoice {
    pub(crate) fn path(self) -> TransmitPath {
        match self {
            TransmitChoice::Auto => TransmitPath::Auto,
            TransmitChoice::Ring => TransmitPath::Ring,
            TransmitChoice::Pump => TransmitPath::Pump,
        }
    }
}

/// `--poll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PollChoice {
    /// Spin: the lowest latency, a whole core.
    Busy,
    /// Spin while there is work, then sleep.
    #[default]
    Adaptive,
}

/// `--cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CongestionChoice {
    pub(crate) algorithm: CongestionControl,
    /// Of `none:BYTES`.
    pub(crate) fixed_window: Option<u32>,
}

impl FromStr for CongestionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bytes) = match text.split_once(':') {
            Some((name, bytes)) => (name, Some(bytes)),
            None => (text, None),
        };
        let algorithm = match name {
            "cubic" => CongestionControl::Cubic,
            "newreno" => CongestionControl::NewReno,
            "bbr" => CongestionControl::Bbr,
            "dctcp" => CongestionControl::Dctcp,
            "none" => CongestionControl::None,
            _ => return Err(String::from("it is one of cubic, newreno, bbr, dctcp, none")),
        };
        let fixed_window = match bytes {
            None => None,
            Some(_) if algorithm != CongestionControl::None => {
                return Err(format!("only none has a window to name: write {name}"));
            }
            Some(bytes) => match bytes.parse() {
                Ok(bytes) if (1_000..=1 << 30).contains(&bytes) => Some(bytes),
                _ => return Err(String::from("the window is a number of bytes from 1000 to 1073741824")),
            },
        };
        Ok(Self { algorithm, fixed_window })
    }
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) addr: IpAddr,
    pub(crate) len: u8,
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addr, len) = text.split_once('/').ok_or("write the address and its prefix length, ADDR/LEN")?;
        let addr: IpAddr = addr.parse().map_err(|_| format!("\"{addr}\" is not an IP address"))?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        match len.parse() {
            Ok(len) if len <= most => Ok(Prefix { addr, len }),
            _ => Err(format!("the prefix length \"{len}\" is not a number from 0 to {most}")),
        }
    }
}

/// A list of small numbers in the order given: "0", "0-3", "0,2,4-5".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberList(pub(crate) Vec<u32>);

/// More queues or cores than any machine has.
const MAX_NUMBER: u32 = 4096;

impl FromStr for NumberList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| match word.parse::<u32>() {
            Ok(n) if n < MAX_NUMBER => Ok(n),
            _ => Err(format!("\"{word}\" is not a number below {MAX_NUMBER}")),
        };
        let mut numbers = Vec::new();
        for item in text.split(',') {
            match item.split_once('-') {
                None => numbers.push(number(item)?),
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if first > last {
                        return Err(format!("\"{item}\" counts downwards"));
                    }
                    numbers.extend(first..=last);
                }
            }
        }
        Ok(NumberList(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_numbers() {
        let list = |text: &str| text.parse::<NumberList>().map(|list| list.0);
        assert_eq!(list("0"), Ok(vec![0]));
        assert_eq!(list("0-2,5"), Ok(vec![0, 1, 2, 5]));
        for bad in ["", "a", "3-1", "1-", "-1", "5000", "1,,2"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_congestion_controls() {
        let choice = |text: &str| text.parse::<CongestionChoice>().map(|c| (c.algorithm, c.fixed_window));
        assert_eq!(choice("cubic"), Ok((CongestionControl::Cubic, None)));
        assert_eq!(choice("bbr"), Ok((CongestionControl::Bbr, None)));
        assert_eq!(choice("none"), Ok((CongestionControl::None, None)));
        assert_eq!(choice("none:65536"), Ok((CongestionControl::None, Some(65_536))));
        for bad in ["", "reno", "none:", "none:10", "none:1e6", "none:9999999999", "cubic:1000"] {
            assert!(choice(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_prefixes() {
        let prefix: Prefix = "198.18.0.9/24".parse().unwrap();
        assert_eq!((prefix.addr, prefix.len), ("198.18.0.9".parse().unwrap(), 24));
        for bad in ["198.18.0.9", "198.18.0.9/33", "x/24", "2001:db8::1/129", "1.2.3.4/"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
