//! Whom to ask and how: resolv.conf(5), or the same by hand.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The limits of glibc for what resolv.conf may ask for.
const MAX_SERVERS: usize = 3;
const MAX_NDOTS: usize = 15;
const MAX_TIMEOUT_S: u64 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// The configuration of a stub resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// The servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Domains that are appended to names.
    pub search: Vec<String>,
    /// A name with at least this many dots is tried as it is before the search list.
    pub ndots: usize,
    /// How long one server is given for one answer.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: u32,
    /// Ask over TCP from the start.
    pub use_tcp: bool,
    /// Names that need no server: hosts(5).
    pub hosts: Vec<(String, IpAddr)>,
}

impl Default for ResolverConfig {
    /// What resolv.conf(5) says of an empty file: the server on this host, one dot, five seconds, two
    /// attempts.
    fn default() -> Self {
        ResolverConfig {
            servers: vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53)],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            use_tcp: false,
            hosts: Vec::new(),
        }
    }
}

impl ResolverConfig {
    /// Reads a resolv.conf and, where `hosts` is given, a hosts file. A missing hosts file is an
    /// empty one.
    pub fn from_files(resolv_conf: &Path, hosts: Option<&Path>) -> io::Result<ResolverConfig> {
        let mut config = ResolverConfig::parse(&String::from_utf8_lossy(&fs::read(resolv_conf)?));
        if let Some(text) = hosts.and_then(|path| fs::read(path).ok()) {
            config.hosts = parse_hosts(&String::from_utf8_lossy(&text));
        }
        Ok(config)
    }

    /// Reads the text of a resolv.conf. As in glibc, what is not understood is skipped, and values
    /// beyond its limits are cut down to them.
    pub fn parse(text: &str) -> ResolverConfig {
        let mut config = ResolverConfig::default();
        let mut servers = Vec::new();
        for line in text.lines() {
            if line.starts_with(['#', ';']) {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(parse_server)),
                // The later of `domain` and `search` wins.
                Some("domain") => config.search = words.take(1).map(domain).collect(),
                Some("search") => {
                    config.search = words.map(domain).filter(|name| !name.is_empty()).collect();
                }
                Some("options") => words.for_each(|word| config.option(word)),
                _ => {}
            }
        }
        servers.truncate(MAX_SERVERS);
        if !servers.is_empty() {
            config.servers = servers;
        }
        config
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u64>()) {
            ("ndots", Ok(n)) => self.ndots = usize::try_from(n).unwrap_or(MAX_NDOTS).min(MAX_NDOTS),
            ("timeout", Ok(n)) => self.timeout = Duration::from_secs(n.clamp(1, MAX_TIMEOUT_S)),
            ("attempts", Ok(n)) => {
                self.attempts = u32::try_from(n).unwrap_or(MAX_ATTEMPTS).clamp(1, MAX_ATTEMPTS);
            }
            ("use-vc", _) => self.use_tcp = true,
            _ => {}
        }
    }
}

fn domain(word: &str) -> String {
    word.trim_end_matches('.').to_owned()
}

/// An address as a `nameserver` line has it; a scope is kept if it is a number.
fn parse_server(word: &str) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse().ok()?, 53)),
        Some((ip, scope)) => {
            let ip: Ipv6Addr = ip.parse().ok()?;
            Some(std::net::SocketAddrV6::new(ip, 53, 0, scope.parse().ok()?).into())
        }
    }
}

fn parse_hosts(text: &str) -> Vec<(String, IpAddr)> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        hosts.extend(words.map(|name| (name.trim_end_matches('.').to_ascii_lowercase(), ip)));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_search_and_options() {
        let config = ResolverConfig::parse(
            "# ours\nnameserver 198.18.0.1\nnameserver 2001:db8::53\n; theirs\ndomain old.example\n\
             search corp.example. lab.example\noptions ndots:2 timeout:1 attempts:4 edns0 use-vc\n",
        );
        assert_eq!(config.servers, ["198.18.0.1:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
        assert_eq!(config.search, ["corp.example", "lab.example"]);
        assert_eq!((config.ndots, config.timeout, config.attempts), (2, Duration::from_secs(1), 4));
        assert!(config.use_tcp);
    }

    #[test]
    fn the_last_of_domain_and_search_wins() {
        assert_eq!(ResolverConfig::parse("search a b\ndomain c\n").search, ["c"]);
        assert_eq!(ResolverConfig::parse("domain c\nsearch a b\n").search, ["a", "b"]);
    }

    #[test]
    fn an_empty_file_means_the_server_on_this_host() {
        assert_eq!(ResolverConfig::parse(""), ResolverConfig::default());
    }

    #[test]
    fn takes_three_servers_and_cuts_options_to_their_limits() {
        let text = "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n\
                    options ndots:99 timeout:999 attempts:99\n";
        let config = ResolverConfig::parse(text);
        assert_eq!(config.servers.len(), 3);
        assert_eq!((config.ndots, config.timeout, config.attempts), (15, Duration::from_secs(30), 5));
    }

    #[test]
    fn skips_what_it_does_not_understand() {
        let config =
            ResolverConfig::parse("nameserver\nnameserver nonsense\noptions ndots:x\nsortlist 1.2.3.4\n");
        assert_eq!(config, ResolverConfig::default());
    }

    #[test]
    fn hosts_lines_name_several_aliases() {
        let hosts = parse_hosts("127.0.0.1 localhost # loop\n198.18.0.2 Box box.lab\nbad line\n");
        assert_eq!(hosts.len(), 3);
        assert_eq!(hosts[1], ("box".to_owned(), "198.18.0.2".parse().unwrap()));
    }
}
