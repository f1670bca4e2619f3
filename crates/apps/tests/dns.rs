//! The resolver against name servers on loopback: obedient, broken, silent and forging.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bypath_apps::dns::{DnsError, Family, Lookup, Resolver, ResolverConfig};
use bypath_apps::{Client, ClientConfig, FetchError, KernelNetwork};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use support::{Server, request, run_with};

/// A name server in a thread. Its script turns a query into the datagrams to answer with.
struct NameServer {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: String,
    kind: RecordType,
    id: u16,
    from: SocketAddr,
}

impl NameServer {
    fn new(mut script: impl FnMut(&Message) -> Vec<Vec<u8>> + Send + 'static) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buf = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut buf) {
                let query = Message::from_vec(&buf[..len]).unwrap();
                let (name, kind) = asked(&query);
                log.lock().unwrap().push(Seen { name, kind, id: query.metadata.id, from });
                for answer in script(&query) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        NameServer { addr, seen }
    }

    fn silent() -> NameServer {
        NameServer::new(|_| Vec::new())
    }

    fn failing(code: ResponseCode) -> NameServer {
        NameServer::new(move |query| vec![reply(query, |m| m.metadata.response_code = code)])
    }

    /// Knows some A records; everything else does not exist.
    fn knowing(zone: &'static [(&'static str, [u8; 4])]) -> NameServer {
        NameServer::new(move |query| {
            let (name, kind) = asked(query);
            vec![reply(query, |m| match zone.iter().find(|(known, _)| *known == name) {
                Some((known, ip)) if kind == RecordType::A => {
                    m.add_answer(a(known, *ip));
                }
                Some(_) => {}
                None => m.metadata.response_code = ResponseCode::NXDomain,
            })]
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.seen.lock().unwrap().iter().map(|s| s.name.clone()).collect();
        names.dedup();
        names
    }
}

fn asked(query: &Message) -> (String, RecordType) {
    let question = &query.queries[0];
    (question.name.to_string().trim_end_matches('.').to_owned(), question.query_type)
}

fn reply(query: &Message, fill: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    message.add_query(query.queries[0].clone());
    fill(&mut message);
    message.to_vec().unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn a(owner: &str, ip: [u8; 4]) -> Record {
    Record::from_rdata(name(owner), 60, RData::A(A(Ipv4Addr::from(ip))))
}

fn cname(owner: &str, to: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(to))))
}

fn config(servers: &[&NameServer]) -> ResolverConfig {
    ResolverConfig {
        servers: servers.iter().map(|s| s.addr).collect(),
        timeout: Duration::from_millis(300),
        ..ResolverConfig::default()
    }
}

fn lookup(config: &ResolverConfig, name: &str, family: Family) -> Result<Lookup, FetchError> {
    Resolver::new(&KernelNetwork, config).lookup(name, family, None)
}

fn error(result: Result<Lookup, FetchError>) -> DnsError {
    match result {
        Err(FetchError::Resolve(e)) => e,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_that_resolves_after_two_search_list_misses() {
    let server = NameServer::knowing(&[("files", [127, 0, 0, 1])]);
    let search = vec!["corp.example".to_owned(), "lab.example".to_owned()];
    let config = ResolverConfig { search, ..config(&[&server]) };
    let found = lookup(&config, "files", Family::V4).unwrap();
    assert_eq!(found.name, "files");
    assert_eq!(found.tried, ["files.corp.example", "files.lab.example"]);
    assert_eq!(server.names(), ["files.corp.example", "files.lab.example", "files"]);
}

#[test]
fn both_families_are_asked_for_and_returned() {
    let server = NameServer::new(|query| {
        let (owner, kind) = asked(query);
        vec![reply(query, |m| match kind {
            RecordType::AAAA => {
                m.add_answer(Record::from_rdata(
                    name(&owner),
                    60,
                    RData::AAAA(AAAA("2001:db8::1".parse().unwrap())),
                ));
            }
            _ => {
                m.add_answer(a(&owner, [192, 0, 2, 1]));
            }
        })]
    });
    let addresses = |family| lookup(&config(&[&server]), "h.example", family).unwrap().addresses;
    let v4: std::net::IpAddr = "192.0.2.1".parse().unwrap();
    let v6: std::net::IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(addresses(Family::Any), [v4, v6]);
    assert_eq!(addresses(Family::V4), [v4]);
    assert_eq!(addresses(Family::V6), [v6]);
}

#[test]
fn follows_aliases_over_several_answers() {
    let server = NameServer::new(|query| {
        let (owner, _) = asked(query);
        vec![reply(query, |m| {
            match owner.as_str() {
                "www.example" => m.add_answer(cname("www.example", "a.example")),
                "a.example" => {
                    m.add_answer(cname("a.example", "b.example"));
                    m.add_answer(a("b.example", [192, 0, 2, 7]))
                }
                _ => m,
            };
        })]
    });
    let found = lookup(&config(&[&server]), "www.example", Family::V4).unwrap();
    assert_eq!(found.addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn aliases_that_never_end_are_noticed() {
    let server = NameServer::new(|query| {
        let (owner, _) = asked(query);
        vec![reply(query, |m| {
            m.add_answer(cname(&owner, &format!("x{owner}")));
        })]
    });
    let error = error(lookup(&config(&[&server]), "a.example", Family::V4));
    assert!(matches!(error, DnsError::AliasLoop(_)), "{error}");
}

#[test]
fn tells_nxdomain_no_data_and_servfail_apart() {
    let server = NameServer::knowing(&[("there.example", [192, 0, 2, 1])]);
    let nx = error(lookup(&config(&[&server]), "gone.example", Family::Any));
    assert!(matches!(nx, DnsError::NoSuchName { .. }), "{nx}");
    let none = error(lookup(&config(&[&server]), "there.example", Family::V6));
    assert!(matches!(none, DnsError::NoAddress { .. }), "{none}");
    let server = NameServer::failing(ResponseCode::ServFail);
    let failed = error(lookup(&config(&[&server]), "any.example", Family::Any));
    assert!(matches!(failed, DnsError::ServerFailure { .. }), "{failed}");
}

#[test]
fn the_next_server_answers_for_one_that_fails() {
    let broken = NameServer::failing(ResponseCode::ServFail);
    let good = NameServer::knowing(&[("h.example", [192, 0, 2, 1])]);
    assert!(lookup(&config(&[&broken, &good]), "h.example", Family::Any).is_ok());
}

#[test]
fn the_next_server_answers_for_one_that_is_silent() {
    let silent = NameServer::silent();
    let good = NameServer::knowing(&[("h.example", [192, 0, 2, 1])]);
    assert!(lookup(&config(&[&silent, &good]), "h.example", Family::Any).is_ok());
    assert_eq!(silent.seen.lock().unwrap().len(), 2, "one question for each family, once");
}

#[test]
fn a_lost_question_is_asked_again() {
    let mut questions = 0;
    let server = NameServer::new(move |query| {
        questions += 1;
        let owner = asked(query).0;
        if questions == 1 {
            Vec::new()
        } else {
            vec![reply(query, |m| {
                m.add_answer(a(&owner, [192, 0, 2, 1]));
            })]
        }
    });
    assert!(lookup(&config(&[&server]), "h.example", Family::V4).is_ok());
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_ne!((seen[0].id, seen[0].from), (seen[1].id, seen[1].from), "a fresh id and port");
}

#[test]
fn silence_is_a_timeout_and_ends_the_search_list() {
    let server = NameServer::silent();
    let config =
        ResolverConfig { search: vec!["a.example".into(), "b.example".into()], ..config(&[&server]) };
    let started = Instant::now();
    let error = error(lookup(&config, "h", Family::V4));
    assert!(matches!(error, DnsError::Timeout { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert_eq!(server.names(), ["h.a.example"]);
}

#[test]
fn a_wrong_id_and_a_wrong_question_are_ignored() {
    let server = NameServer::new(|query| {
        let owner = asked(query).0;
        let good = reply(query, |m| {
            m.add_answer(a(&owner, [192, 0, 2, 1]));
        });
        let mut forged = Message::from_vec(&good).unwrap();
        forged.answers = vec![a(&owner, [6, 6, 6, 6])];
        forged.metadata.id = !forged.metadata.id;
        let wrong_id = forged.to_vec().unwrap();
        forged.metadata.id = query.metadata.id;
        forged.queries[0].name = name("other.example");
        let wrong_question = forged.to_vec().unwrap();
        vec![wrong_id, wrong_question, b"rubbish".to_vec(), good]
    });
    let found = lookup(&config(&[&server]), "h.example", Family::V4).unwrap();
    assert_eq!(found.addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn an_answer_from_somebody_else_is_ignored() {
    let forger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 1500];
        let (len, from) = socket.recv_from(&mut buf).unwrap();
        let query = Message::from_vec(&buf[..len]).unwrap();
        let answer = |ip| {
            reply(&query, |m| {
                m.add_answer(a("h.example", ip));
            })
        };
        forger.send_to(&answer([6, 6, 6, 6]), from).unwrap();
        socket.send_to(&answer([192, 0, 2, 1]), from).unwrap();
    });
    let config = ResolverConfig { servers: vec![addr], ..ResolverConfig::default() };
    let found = lookup(&config, "h.example", Family::V4).unwrap();
    assert_eq!(found.addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    // The same port over both: whatever UDP gives must be free over TCP as well.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let addr = udp.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 1500];
        let (len, from) = udp.recv_from(&mut buf).unwrap();
        let query = Message::from_vec(&buf[..len]).unwrap();
        udp.send_to(&reply(&query, |m| m.metadata.truncation = true), from).unwrap();
    });
    let server = std::thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        let mut prefix = [0; 2];
        stream.read_exact(&mut prefix).unwrap();
        let mut query = vec![0; usize::from(u16::from_be_bytes(prefix))];
        stream.read_exact(&mut query).unwrap();
        let query = Message::from_vec(&query).unwrap();
        let answer = reply(&query, |m| {
            for i in 0..200 {
                m.add_answer(a("h.example", [192, 0, 2, i]));
            }
        });
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
        for piece in answer.chunks(100) {
            stream.write_all(piece).unwrap();
        }
    });
    let config = ResolverConfig { servers: vec![addr], ..ResolverConfig::default() };
    assert_eq!(lookup(&config, "h.example", Family::V4).unwrap().addresses.len(), 200);
    server.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_over_tcp_is_named() {
    let server = NameServer::new(|query| vec![reply(query, |m| m.metadata.truncation = true)]);
    let error = error(lookup(&config(&[&server]), "h.example", Family::V4));
    assert!(error.to_string().contains(&server.addr.to_string()), "{error}");
}

#[test]
fn ids_and_ports_are_not_predictable() {
    let server = NameServer::knowing(&[("h.example", [192, 0, 2, 1])]);
    for _ in 0..8 {
        lookup(&config(&[&server]), "h.example", Family::V4).unwrap();
    }
    let seen = server.seen.lock().unwrap();
    let mut ids: Vec<u16> = seen.iter().map(|s| s.id).collect();
    let steps: Vec<u16> = ids.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    assert!(steps.iter().any(|s| *s != steps[0]), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() >= 7, "{ids:?}");
}

#[test]
fn a_transfer_finds_its_host_by_name() {
    let names = NameServer::knowing(&[("files.lab.example", [127, 0, 0, 1])]);
    let server = Server::once(|mut peer| {
        assert!(peer.request().contains("Host: files:"));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let resolver = ResolverConfig { search: vec!["lab.example".into()], ..config(&[&names]) };
    let mut client =
        Client::new(Arc::new(KernelNetwork), ClientConfig { resolver, ..ClientConfig::default() });
    let url = format!("http://files:{}/", server.addr.port());
    let (transfer, kept) = run_with(&mut client, &request(&url));
    transfer.result.unwrap();
    assert_eq!(kept.bytes, b"ok");
    assert_eq!(transfer.report.resolved_name.as_deref(), Some("files.lab.example"));
    server.done();
}

#[test]
fn unresolved_hosts_are_exit_6_and_a_silent_server_28_when_the_time_is_up() {
    let names = NameServer::knowing(&[]);
    let fetch = |names: &NameServer, max_time| {
        let config = ClientConfig { resolver: config(&[names]), ..ClientConfig::default() };
        let mut request = request("http://gone.example/");
        request.max_time = Some(max_time);
        let (transfer, _) = run_with(&mut Client::new(Arc::new(KernelNetwork), config), &request);
        support::code_of(&transfer)
    };
    assert_eq!(fetch(&names, support::LONG), 6);
    assert_eq!(fetch(&NameServer::silent(), support::LONG), 6);
    assert_eq!(fetch(&NameServer::silent(), Duration::from_millis(100)), 28);
}
