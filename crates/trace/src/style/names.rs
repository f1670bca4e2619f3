//! Names of hosts and ports, from files: no name server is ever asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// Names of hosts, ports and protocols. The default knows none.
#[derive(Clone, Debug, Default)]
pub struct Names {
    hosts: HashMap<IpAddr, String>,
    tcp: HashMap<u16, String>,
    udp: HashMap<u16, String>,
    protocols: HashMap<u8, String>,
}

impl Names {
    /// Those of files in the form of `/etc/hosts` and `/etc/services`. The first name of an address or port is its name.
    #[must_use]
    pub fn from_text(hosts: &str, services: &str) -> Names {
        let mut names = Names::default();
        for mut words in lines(hosts) {
            let address = words.next().and_then(|word| word.parse().ok());
            if let (Some(address), Some(name)) = (address, words.next()) {
                names.hosts.entry(address).or_insert_with(|| name.to_owned());
            }
        }
        for mut words in lines(services) {
            let (Some(name), Some(place)) = (words.next(), words.next()) else { continue };
            let Some((port, protocol)) = place.split_once('/') else { continue };
            let Ok(port) = port.parse() else { continue };
            let table = match protocol {
                "tcp" => &mut names.tcp,
                "udp" => &mut names.udp,
                _ => continue,
            };
            // The C library's table, which tcpdump goes through from its beginning to its end, leaves the last.
            table.insert(port, name.to_owned());
        }
        names
    }

    /// With the protocols of a file in the form of `/etc/protocols` as well.
    #[must_use]
    pub fn with_protocols(mut self, protocols: &str) -> Names {
        for mut words in lines(protocols) {
            if let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse)) {
                self.protocols.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        self
    }

    /// Those of this system, as far as its files are there.
    #[must_use]
    pub fn of_system() -> Names {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Names::from_text(&read("/etc/hosts"), &read("/etc/services")).with_protocols(&read("/etc/protocols"))
    }

    /// The name of a host.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Option<&str> {
        if self.hosts.is_empty() { None } else { self.hosts.get(&address).map(String::as_str) }
    }

    /// The name of a protocol above IP.
    #[must_use]
    pub fn protocol(&self, number: u8) -> Option<&str> {
        self.protocols.get(&number).map(String::as_str)
    }

    /// The port of this name: that of TCP, or of UDP where TCP has none or UDP is meant.
    #[must_use]
    pub fn port_of(&self, name: &str, is_udp: bool) -> Option<u16> {
        let of = |table: &HashMap<u16, String>| {
            table.iter().find(|(_, known)| *known == name).map(|(port, _)| *port)
        };
        let tcp = if is_udp { None } else { of(&self.tcp) };
        tcp.or_else(|| of(&self.udp))
    }

    /// The name of a TCP port.
    #[must_use]
    pub fn tcp(&self, port: u16) -> Option<&str> {
        if self.tcp.is_empty() { None } else { self.tcp.get(&port).map(String::as_str) }
    }

    /// The name of a UDP port.
    #[must_use]
    pub fn udp(&self, port: u16) -> Option<&str> {
        if self.udp.is_empty() { None } else { self.udp.get(&port).map(String::as_str) }
    }
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files_with_comments() {
        let names = Names::from_text(
            "127.0.0.1 localhost vm # here\n127.0.0.1 other\n# 10.0.0.1 none\nnonsense\n",
            "http 80/tcp www # WWW\ndomain 53/udp\nsctp-thing 9/sctp\nbad port\n",
        );
        assert_eq!(names.host([127, 0, 0, 1].into()), Some("localhost"));
        assert_eq!(names.host([10, 0, 0, 1].into()), None);
        assert_eq!((names.tcp(80), names.udp(80), names.udp(53)), (Some("http"), None, Some("domain")));
    }
}
