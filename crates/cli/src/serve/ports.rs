//! The arguments of `bypath serve`: ports by number or by the name that /etc/services has for them, with directories and
//! ranges, and limits.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort(pub(crate) u16);

impl FromStr for ServicePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match text.parse() {
                Ok(port) if port > 0 => Ok(Self(port)),
                _ => Err(format!("\"{text}\" is not a port from 1 to 65535")),
            };
        }
        let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
        named(&services, text)
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is neither a port nor a TCP service of /etc/services"))
    }
}

/// The TCP port of a service, in the form of services(5).
fn named(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let first = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        (first == name || words.any(|alias| alias == name)).then(|| port.parse().ok()).flatten()
    })
}

/// A port and the directory that is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortDir {
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
}

impl FromStr for PortDir {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((_, "")) | None => Err("write the port and the directory, PORT=DIR".to_owned()),
            Some((port, dir)) => Ok(Self { port: port.parse::<ServicePort>()?.0, dir: dir.into() }),
        }
    }
}

impl fmt::Display for PortDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.port, self.dir.display())
    }
}

/// Ports from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

/// More passive ports than a server needs; each is held from the kernel.
const MOST_PORTS: u16 = 4096;

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = || {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?))
        };
        match range() {
            Some((first, last)) if first >= 1024 && first <= last && last - first < MOST_PORTS => {
                Ok(Self(first..=last))
            }
            _ => Err(format!("write FIRST-LAST: at most {MOST_PORTS} ports from 1024 to 65535")),
        }
    }
}

/// A time above zero.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    seconds_or_never(text)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a number of seconds above zero".to_owned())
}

/// A time, or zero.
pub(crate) fn seconds_or_never(text: &str) -> Result<Duration, String> {
    let bad = || "not a number of seconds".to_owned();
    let seconds: f64 = text.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| time.as_secs() < 1 << 32).ok_or_else(bad)
}

pub(crate) fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=16_777_216).contains(&n) => Ok(n),
        _ => Err("not a number from 1 to 16777216".to_owned()),
    }
}

pub(crate) fn head_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (256..=1_048_576).contains(&n) => Ok(n),
        _ => Err("not a number of bytes from 256 to 1048576".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &str =
        "# comment\necho\t\t7/tcp\necho 7/udp\nhttp 80/tcp www # WorldWideWeb\ntftp 69/udp\n";

    #[test]
    fn ports_have_numbers_and_names() {
        assert_eq!(named(SERVICES, "echo"), Some(7));
        assert_eq!(named(SERVICES, "www"), Some(80));
        for none in ["tftp", "WorldWideWeb", "", "#"] {
            assert_eq!(named(SERVICES, none), None, "{none}");
        }
        assert_eq!("8080".parse(), Ok(ServicePort(8080)));
        for bad in ["0", "65536", "80x", "-1", "", "no-such-service"] {
            assert!(bad.parse::<ServicePort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_and_directories_are_read() {
        assert_eq!("80=/srv/a=b".parse(), Ok(PortDir { port: 80, dir: "/srv/a=b".into() }));
        assert_eq!("2000-2001".parse(), Ok(PortRange(2000..=2001)));
        assert_eq!("2000".parse(), Ok(PortRange(2000..=2000)));
        for bad in ["80", "80=", "=x", "x=/"] {
            assert!(bad.parse::<PortDir>().is_err(), "{bad}");
        }
        for bad in ["2001-2000", "80-90", "1024-65535", "a-b", ""] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
        assert!(seconds("0").is_err() && seconds("-1").is_err() && seconds("nan").is_err());
        assert_eq!(seconds_or_never("0"), Ok(Duration::ZERO));
    }
}
