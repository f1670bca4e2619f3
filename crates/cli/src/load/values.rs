//! Values of options: counts and rates with k, M and G, sizes with powers of 1024, ramps, ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::result_args::parse_seconds;

/// More addresses than anybody has on one interface.
const MAX_ADDRESSES: u128 = 65_536;

/// A number with k, M or G for thousands, and so on.
fn decimal(text: &str) -> Option<f64> {
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'M') => (&text[..at], 1e6),
        (at, 'G') => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.parse::<f64>().ok().filter(|_| plain).map(|n| n * factor)
}

/// A whole number above zero: 1000, 10k, 1.5M.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    match decimal(text) {
        Some(n) if (1.0..=1e18).contains(&n) && n.fract() == 0.0 => Ok(n as u64),
        Some(0.0) => Err("0 would do nothing: give 1 or more".into()),
        _ => Err("not a whole number above zero, such as 1000, 10k or 1.5M".into()),
    }
}

/// A rate above zero.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    match decimal(text) {
        Some(n) if n > 0.0 && n <= 1e9 => Ok(n),
        Some(n) if n > 1e9 => Err("more than 1G a second is not possible".into()),
        _ => Err("not a rate above zero, such as 500, 50k or 1.5M".into()),
    }
}

/// Bytes, with another number of them behind a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeText {
    pub(super) first: u64,
    pub(super) second: Option<u64>,
}

fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is not a size above zero, such as 64, 16k, 1M or 1G");
    let (digits, shift) = match text.char_indices().last().ok_or_else(bad)? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'M') => (&text[..at], 20),
        (at, 'G') => (&text[..at], 30),
        (at, 'T') => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).filter(|n| *n > 0 && *n <= 1 << 60).ok_or_else(bad)
}

impl FromStr for SizeText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, second) = match text.split_once('/') {
            Some((first, second)) => (first, Some(size(second)?)),
            None => (text, None),
        };
        Ok(Self { first: size(first)?, second })
    }
}

/// Steps, and how long they take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RampText {
    pub(super) steps: u32,
    pub(super) over: Option<Duration>,
}

impl FromStr for RampText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (steps, over) = match text.split_once(':') {
            Some((steps, seconds)) => (steps, Some(parse_seconds(seconds)?)),
            None => (text, None),
        };
        let steps = steps.parse().ok().filter(|steps| (1..=10_000).contains(steps));
        Ok(Self { steps: steps.ok_or("a ramp has 1 to 10000 steps: write STEPS or STEPS:SECONDS")?, over })
    }
}

/// Neighbouring addresses of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalIps {
    first: IpAddr,
    count: u32,
    pub(super) prefix_len: u8,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

impl LocalIps {
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let Self { first, count, .. } = *self;
        (0..count).map(move |n| match first {
            IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).wrapping_add(n)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).wrapping_add(n.into())).into(),
        })
    }
}

impl FromStr for LocalIps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (range, len) = text.split_once('/').ok_or("write the prefix length behind it: FIRST-LAST/LEN")?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let address =
            |text: &str| text.parse::<IpAddr>().map_err(|_| format!("\"{text}\" is not an address"));
        let (first, last) = (address(first)?, address(last)?);
        let bits: u8 = if first.is_ipv4() { 32 } else { 128 };
        let prefix_len = len.parse().ok().filter(|len| *len <= bits && *len > 0);
        let prefix_len = prefix_len.ok_or_else(|| format!("\"{len}\" is not a prefix length"))?;
        if first.is_ipv4() != last.is_ipv4() || number(last) < number(first) {
            return Err(format!("{range} does not go up from one address to another of its family"));
        }
        let count = number(last) - number(first) + 1;
        if count > MAX_ADDRESSES {
            return Err(format!("{range} has more than {MAX_ADDRESSES} addresses"));
        }
        if prefix_len < bits && number(first) >> (bits - prefix_len) != number(last) >> (bits - prefix_len) {
            return Err(format!("{range} is not in one network of prefix length {prefix_len}"));
        }
        Ok(Self { first, count: count as u32, prefix_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_rates_have_thousands_and_sizes_powers_of_1024() {
        assert_eq!(parse_count("1.5k"), Ok(1500));
        assert_eq!(parse_rate("2.5M"), Ok(2.5e6));
        assert_eq!("64/16k".parse(), Ok(SizeText { first: 64, second: Some(16_384) }));
        for bad in ["0", "-1", "1.5", "x", "", "1e9", "nan", "k"] {
            assert!(parse_count(bad).is_err(), "{bad}");
        }
        for bad in ["0", "-1", "inf", "2G", ""] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
        for bad in ["0", "64/", "/64", "-1", "1.5k", "99999999999G"] {
            assert!(bad.parse::<SizeText>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_of_addresses_are_counted_out() {
        let ips: LocalIps = "198.18.0.254-198.18.1.1/15".parse().unwrap();
        let all: Vec<String> = ips.addresses().map(|ip| ip.to_string()).collect();
        assert_eq!(all, ["198.18.0.254", "198.18.0.255", "198.18.1.0", "198.18.1.1"]);
        assert_eq!("fd00::9/64".parse::<LocalIps>().unwrap().addresses().count(), 1);
        for bad in [
            "198.18.0.1",
            "198.18.0.9-198.18.0.1/24",
            "198.18.0.1-fd00::1/24",
            "198.18.0.1-198.18.1.1/24",
            "1.0.0.0-1.255.255.255/8",
        ] {
            assert!(bad.parse::<LocalIps>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ramps_have_steps_and_perhaps_seconds() {
        let over = Some(Duration::from_secs(5));
        assert_eq!("10:5".parse(), Ok(RampText { steps: 10, over }));
        assert_eq!("10".parse(), Ok(RampText { steps: 10, over: None }));
        for bad in ["0", "x", "10:", "10:x"] {
            assert!(bad.parse::<RampText>().is_err(), "{bad}");
        }
    }
}
