//! The resolver's strategy: which names to ask for, which servers, how often, and what to make of
//! the answers together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_proto::rr::{Name, RecordType};
use tracing::debug;

use crate::budget::{Budget, CancelToken};
use crate::dns::exchange::{Outcome, Server};
use crate::dns::message::{Answer, Question, name_from};
use crate::dns::{DnsError, Family, ResolverConfig};
use crate::error::FetchError;
use crate::net::Network;

/// How often an answer may send us to ask for another name.
const MAX_HOPS: usize = 8;

/// A name with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name that was found: the one asked for, perhaps completed by the search list.
    pub name: String,
    /// Its addresses, in the order of the answers, never none.
    pub addresses: Vec<IpAddr>,
    /// The names that were tried before and do not exist or have no address.
    pub tried: Vec<String>,
}

/// A stub resolver over a network.
pub struct Resolver<'a> {
    network: &'a dyn Network,
    config: &'a ResolverConfig,
}

impl<'a> Resolver<'a> {
    /// A resolver that sends its questions through `network`.
    pub fn new(network: &'a dyn Network, config: &'a ResolverConfig) -> Self {
        Resolver { network, config }
    }

    /// The addresses of `name`; `max_time` bounds the whole search.
    pub fn lookup(
        &self,
        name: &str,
        family: Family,
        max_time: Option<Duration>,
    ) -> Result<Lookup, FetchError> {
        self.lookup_within(name, family, &Budget::new(max_time, None, CancelToken::default()))
    }

    pub(crate) fn lookup_within(
        &self,
        name: &str,
        family: Family,
        budget: &Budget,
    ) -> Result<Lookup, FetchError> {
        if let Some(addresses) = self.known(name, family) {
            return Ok(Lookup { name: name.to_owned(), addresses, tried: Vec::new() });
        }
        if name_from(name).is_none() {
            return Err(DnsError::BadName(name.to_owned()).into());
        }
        let mut tried = Vec::new();
        let mut worst: Option<DnsError> = None;
        for candidate in self.candidates(name) {
            // The search list may have made it too long: then it cannot exist.
            let Some(qname) = name_from(&candidate) else { continue };
            let miss = match self.ask_for(&qname, &candidate, family, budget)? {
                Ok(addresses) => return Ok(Lookup { name: candidate, addresses, tried }),
                Err(miss) => miss,
            };
            debug!(name = candidate, %miss, "no address");
            tried.push(candidate);
            match miss {
                // Silence would repeat itself for every name of the list.
                DnsError::Timeout { .. } | DnsError::Unreachable { .. } => return Err(miss.into()),
                miss => worst = Some(weightier(worst, miss)),
            }
        }
        Err(match worst {
            Some(DnsError::NoSuchName { .. }) | None => DnsError::NoSuchName { name: name.to_owned(), tried },
            Some(other) => other,
        }
        .into())
    }

    /// What needs no server: the hosts file, and localhost (RFC 6761 section 6.3).
    fn known(&self, name: &str, family: Family) -> Option<Vec<IpAddr>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wanted = |ip: &IpAddr| match family {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        };
        let of_hosts = self.config.hosts.iter().filter(|(host, _)| *host == name).map(|(_, ip)| *ip);
        let mut addresses: Vec<IpAddr> = of_hosts.filter(wanted).collect();
        if addresses.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            let loopback: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
            addresses = loopback.into_iter().filter(wanted).collect();
        }
        (!addresses.is_empty()).then_some(addresses)
    }

    /// The names to try, in order: resolv.conf(5) under `search` and `ndots`.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self.config.search.iter().map(|d| format!("{name}.{d}")).collect();
        let dots = name.bytes().filter(|b| *b == b'.').count();
        let at = if dots >= self.config.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }

    /// Asks for one name until it is settled. The outer error ends the transfer, the inner one says
    /// why this name has no address.
    fn ask_for(
        &self,
        qname: &Name,
        text: &str,
        family: Family,
        budget: &Budget,
    ) -> Result<Result<Vec<IpAddr>, DnsError>, FetchError> {
        let kinds: &[RecordType] = match family {
            Family::Any => &[RecordType::A, RecordType::AAAA],
            Family::V4 => &[RecordType::A],
            Family::V6 => &[RecordType::AAAA],
        };
        let mut tasks: Vec<Task> =
            kinds.iter().map(|&kind| Task { kind, name: qname.clone(), hops: 0, answer: None }).collect();
        let mut failure = None;
        loop {
            failure = self.ask_servers(&mut tasks, text, budget)?.or(failure);
            let mut moved = false;
            for task in &mut tasks {
                moved |= task.follow_alias();
            }
            if !moved {
                break;
            }
        }
        let mut addresses = Vec::new();
        let (mut exists, mut circle) = (false, false);
        for task in &tasks {
            match &task.answer {
                Some(Answer::Addresses(found)) => addresses.extend(found),
                Some(Answer::NoData) => exists = true,
                Some(Answer::AliasLoop) => circle = true,
                _ => {}
            }
        }
        Ok(match failure {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(failure) if tasks.iter().any(|t| t.answer.is_none()) => Err(failure),
            _ if circle => Err(DnsError::AliasLoop(text.to_owned())),
            _ if exists => Err(DnsError::NoAddress { name: text.to_owned() }),
            _ => Err(DnsError::NoSuchName { name: text.to_owned(), tried: Vec::new() }),
        })
    }

    /// Asks the servers in turn until every task has an answer, and returns what the last server
    /// that failed us said.
    fn ask_servers(
        &self,
        tasks: &mut [Task],
        text: &str,
        budget: &Budget,
    ) -> Result<Option<DnsError>, FetchError> {
        let started = Instant::now();
        let mut failure = None;
        let mut silent = false;
        for addr in (0..self.config.attempts).flat_map(|_| &self.config.servers) {
            let open: Vec<usize> = (0..tasks.len()).filter(|&i| tasks[i].answer.is_none()).collect();
            // Addresses of one family are enough to go on with; the other is not worth another timeout.
            let enough = tasks.iter().any(|t| matches!(t.answer, Some(Answer::Addresses(_))));
            if open.is_empty() || (enough && (silent || failure.is_some())) {
                break;
            }
            let questions = open.iter().map(|&i| tasks[i].question()).collect::<Result<Vec<_>, _>>()?;
            let server = Server { network: self.network, addr: *addr, timeout: self.config.timeout, budget };
            for (i, outcome) in open.into_iter().zip(server.ask(&questions, self.config.use_tcp)?) {
                match outcome {
                    Outcome::Answered(Answer::Failure(code)) => {
                        failure = Some(DnsError::ServerFailure {
                            name: text.to_owned(),
                            server: *addr,
                            response: code.to_string(),
                        });
                    }
                    Outcome::Answered(answer) => tasks[i].answer = Some(answer),
                    Outcome::Silent => {
                        // A server that says why it failed tells more than one that is silent.
                        silent |= failure.is_none();
                    }
                    Outcome::Unreachable(source) => {
                        let name = text.to_owned();
                        failure.get_or_insert(DnsError::Unreachable { name, server: *addr, source });
                    }
                }
            }
        }
        Ok(failure.or_else(|| silent.then(|| self.silence(text, started))))
    }

    fn silence(&self, text: &str, since: Instant) -> DnsError {
        let servers: Vec<String> = self.config.servers.iter().map(ToString::to_string).collect();
        DnsError::Timeout { name: text.to_owned(), servers: servers.join(", "), after: since.elapsed() }
    }
}

/// One kind of record that is wanted of a name.
struct Task {
    kind: RecordType,
    name: Name,
    hops: usize,
    answer: Option<Answer>,
}

impl Task {
    /// The question, with a fresh id: RFC 5452 section 9.2 asks for all 16 bits to be unpredictable.
    fn question(&self) -> Result<Question, FetchError> {
        let mut id = [0; 2];
        getrandom::fill(&mut id)
            .map_err(|e| FetchError::Recv(format!("no random numbers for a DNS query: {e}")))?;
        Ok(Question { id: u16::from_ne_bytes(id), name: self.name.clone(), kind: self.kind })
    }

    /// Turns to the name that an alias ends in, and says whether there is something to ask again.
    fn follow_alias(&mut self) -> bool {
        let Some(Answer::Alias(_)) = &self.answer else { return false };
        let Some(Answer::Alias(name)) = self.answer.take() else { return false };
        self.hops += 1;
        if self.hops > MAX_HOPS {
            self.answer = Some(Answer::AliasLoop);
            return false;
        }
        self.name = name;
        true
    }
}

/// The error that says more: a server's failure hides whether the name exists, and a name that
/// exists without an address is likelier to be the one that was meant than one that does not exist.
fn weightier(a: Option<DnsError>, b: DnsError) -> DnsError {
    let weight = |e: &DnsError| match e {
        DnsError::ServerFailure { .. } => 3,
        DnsError::AliasLoop(_) => 2,
        DnsError::NoAddress { .. } => 1,
        _ => 0,
    };
    match a {
        Some(a) if weight(&a) >= weight(&b) => a,
        _ => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_net::KernelNetwork;

    fn candidates(name: &str, ndots: usize) -> Vec<String> {
        let config = ResolverConfig {
            search: vec!["a.example".into(), "b.example".into()],
            ndots,
            ..ResolverConfig::default()
        };
        Resolver::new(&KernelNetwork, &config).candidates(name)
    }

    #[test]
    fn a_short_name_goes_through_the_search_list_first() {
        assert_eq!(candidates("files", 1), ["files.a.example", "files.b.example", "files"]);
        assert_eq!(candidates("x.y", 2), ["x.y.a.example", "x.y.b.example", "x.y"]);
    }

    #[test]
    fn a_name_with_enough_dots_is_tried_as_it_is_first() {
        assert_eq!(candidates("x.y", 1), ["x.y", "x.y.a.example", "x.y.b.example"]);
    }

    #[test]
    fn a_final_dot_switches_the_search_list_off() {
        assert_eq!(candidates("files.", 1), ["files"]);
    }

    #[test]
    fn localhost_needs_no_server() {
        let config = ResolverConfig { servers: Vec::new(), ..ResolverConfig::default() };
        let resolver = Resolver::new(&KernelNetwork, &config);
        let lookup = resolver.lookup("localhost", Family::V4, None).unwrap();
        assert_eq!(lookup.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_name_with_an_empty_label_is_refused() {
        let config = ResolverConfig::default();
        let error = Resolver::new(&KernelNetwork, &config).lookup("a..b", Family::Any, None).unwrap_err();
        assert!(matches!(error, FetchError::Resolve(DnsError::BadName(_))), "{error}");
    }
}
