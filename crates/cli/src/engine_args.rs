//! The options of the engine, the same for every command that runs it.

use std::net::IpAddr;
use std::str::FromStr;

use bypath::{AttachMode, BindMode, CongestionControl, Engine, EngineBuilder, Poll};
use clap::{Args, ValueEnum};

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

    /// Where the kernel runs the steering program: in the driver, or behind it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) xdp: AttachChoice,

    /// What an idle worker does: spin, or sleep until a packet or a timer is due.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) poll: PollChoice,

    /// The congestion control of TCP.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) cc: CongestionChoice,
}

impl EngineArgs {
    /// The engine that these options describe. `--netns` is entered by [`crate::stack`] before.
    pub(crate) fn builder(&self) -> EngineBuilder {
        let mut builder = Engine::builder()
            .interface(self.dev.clone().unwrap_or_default())
            .bind_mode(match self.mode {
                BindChoice::Auto => BindMode::Auto,
                BindChoice::Zerocopy => BindMode::ZeroCopy,
                BindChoice::Copy => BindMode::Copy,
            })
            .attach_mode(match self.xdp {
                AttachChoice::Auto => AttachMode::Auto,
                AttachChoice::Native => AttachMode::Native,
                AttachChoice::Generic => AttachMode::Generic,
            })
            .poll(match self.poll {
                PollChoice::Busy => Poll::Busy,
                PollChoice::Adaptive => Poll::Adaptive,
            })
            .congestion_control(match self.cc {
                CongestionChoice::Cubic => CongestionControl::Cubic,
                CongestionChoice::Newreno => CongestionControl::NewReno,
            });
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CongestionChoice {
    /// CUBIC, RFC 9438.
    #[default]
    Cubic,
    /// NewReno, RFC 5681 and 6582.
    Newreno,
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
    fn reads_prefixes() {
        let prefix: Prefix = "198.18.0.9/24".parse().unwrap();
        assert_eq!((prefix.addr, prefix.len), ("198.18.0.9".parse().unwrap(), 24));
        for bad in ["198.18.0.9", "198.18.0.9/33", "x/24", "2001:db8::1/129", "1.2.3.4/"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
