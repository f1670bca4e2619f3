//! Header fields that take several values in turn: `FIRST`, `FIRST-LAST`, and for addresses `NETWORK/LEN`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use bypath_wire::ethernet::MacAddr;

/// A value of a header field, as a number.
pub trait FieldValue: Copy + FromStr + PartialEq + fmt::Display {
    /// What it is called in messages.
    const NAME: &'static str;
    /// Its value.
    fn to_number(self) -> u128;
    /// The value `number`, of the same kind as `self` where there are several (address families).
    fn with_number(self, number: u128) -> Self;
    /// Bits of the field.
    fn bits(self) -> u32;
}

impl FieldValue for MacAddr {
    const NAME: &'static str = "MAC address";

    fn to_number(self) -> u128 {
        self.0.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
    }

    fn with_number(self, number: u128) -> Self {
        let bytes = (number as u64).to_be_bytes();
        MacAddr([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    }

    fn bits(self) -> u32 {
        48
    }
}

impl FieldValue for IpAddr {
    const NAME: &'static str = "IP address";

    fn to_number(self) -> u128 {
        match self {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }

    fn with_number(self, number: u128) -> Self {
        match self {
            IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
        }
    }

    fn bits(self) -> u32 {
        if self.is_ipv4() { 32 } else { 128 }
    }
}

impl FieldValue for u16 {
    const NAME: &'static str = "port";

    fn to_number(self) -> u128 {
        self.into()
    }

    fn with_number(self, number: u128) -> Self {
        number as u16
    }

    fn bits(self) -> u32 {
        16
    }
}

/// The values of a field: the first, and how many follow one another from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRange<T> {
    first: T,
    count: u64,
}

impl<T: FieldValue> FieldRange<T> {
    /// One value.
    pub fn single(value: T) -> Self {
        FieldRange { first: value, count: 1 }
    }

    /// The first value.
    pub fn first(&self) -> T {
        self.first
    }

    /// How many values there are, at least 1.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value of frame `index`; after the last comes the first again.
    pub fn at(&self, index: u64) -> T {
        self.first.with_number(self.first.to_number() + u128::from(index % self.count))
    }

    /// Every value once.
    pub fn values(self) -> impl Iterator<Item = T> {
        (0..self.count).map(move |index| self.at(index))
    }

    /// Whether the value is one of them.
    pub fn contains(&self, value: T) -> bool {
        let (first, number) = (self.first.to_number(), value.to_number());
        value.bits() == self.first.bits() && number >= first && number - first < u128::from(self.count)
    }
}

impl<T: FieldValue> fmt::Display for FieldRange<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(out, "{}", self.first),
            count => write!(out, "{}-{}", self.first, self.at(count - 1)),
        }
    }
}

impl<T: FieldValue> FromStr for FieldRange<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = |text: &str| text.parse::<T>().map_err(|_| format!("\"{text}\" is not a {}", T::NAME));
        if let Some((network, len)) = text.split_once('/') {
            let network = value(network)?;
            let bits = network.bits();
            let len: u32 =
                len.parse().ok().filter(|len| *len <= bits).ok_or_else(|| {
                    format!("the prefix length in \"{text}\" is not a number from 0 to {bits}")
                })?;
            let host = bits - len;
            if host > 32 {
                return Err(format!("\"{text}\" is more than 2^32 values: name a longer prefix"));
            }
            let first = network.to_number() & !((1u128 << host) - 1);
            return Ok(FieldRange { first: network.with_number(first), count: 1 << host });
        }
        let Some((first, last)) = text.split_once('-') else {
            return Ok(FieldRange::single(value(text)?));
        };
        let (first, last) = (value(first)?, value(last)?);
        if first.bits() != last.bits() {
            return Err(format!("\"{text}\" goes from one address family to the other"));
        }
        match last.to_number().checked_sub(first.to_number()) {
            None => Err(format!("\"{text}\" counts downwards")),
            Some(span) if span >= 1 << 32 => Err(format!("\"{text}\" is more than 2^32 values")),
            Some(span) => Ok(FieldRange { first, count: span as u64 + 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_values_ranges_and_networks() {
        let ip = |text: &str| text.parse::<FieldRange<IpAddr>>().map(|range| range.to_string());
        assert_eq!(ip("198.18.0.1"), Ok("198.18.0.1".into()));
        assert_eq!(ip("198.18.0.1-198.18.1.2"), Ok("198.18.0.1-198.18.1.2".into()));
        assert_eq!(ip("198.18.7.9/24"), Ok("198.18.7.0-198.18.7.255".into()));
        assert_eq!(ip("fd00::10/127"), Ok("fd00::10-fd00::11".into()));
        for bad in ["", "198.18.0.2-198.18.0.1", "fd00::/16", "1.2.3.4-fd00::1", "1.2.3.4/33", "1.2.3"] {
            assert!(ip(bad).is_err(), "{bad}");
        }
        let mac: FieldRange<MacAddr> = "02:00:00:00:00:fe-02:00:00:00:01:01".parse().unwrap();
        assert_eq!(mac.values().last().unwrap().to_string(), "02:00:00:00:01:01");
        assert!("65536".parse::<FieldRange<u16>>().is_err());
    }

    #[test]
    fn values_come_round_again() {
        let ports: FieldRange<u16> = "9-11".parse().unwrap();
        assert_eq!((0..5).map(|i| ports.at(i)).collect::<Vec<_>>(), [9, 10, 11, 9, 10]);
        assert!(ports.contains(11) && !ports.contains(12) && !ports.contains(8));
    }
}
