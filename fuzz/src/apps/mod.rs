//! The DNS, HTTP and FTP clients of `bypath-apps`, served by somebody who means ill.
//!
//! What must hold: a call comes back, soon, after a bounded number of connections; what is said of a body is
//! true of it; a transfer that is called complete has the length that was promised.

mod hostile;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bypath_apps::dns::{Family, Resolver, ResolverConfig};
use bypath_apps::{
    BodyInfo, ByteRange, Client, ClientConfig, Credentials, DataMode, Request, Sink, Target, fetch,
};

use crate::tape::Tape;
use hostile::Hostile;

/// Longer than anything here takes that does not wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts, and may be full.
#[derive(Default)]
struct Bucket {
    begun: Option<BodyInfo>,
    bytes: u64,
    room: u64,
}

impl Sink for Bucket {
    fn begin(&mut self, info: &BodyInfo) -> io::Result<()> {
        assert!(self.begun.replace(*info).is_none(), "begun twice");
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(self.begun.is_some(), "bytes before the beginning");
        assert!(!bytes.is_empty() && bytes.len() <= 256 * 1024);
        if self.bytes + bytes.len() as u64 > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn request(tape: &mut Tape<'_>, url: &str) -> Request {
    let (bits, part) = (tape.byte(), tape.byte());
    let mut request = Request::new(Target::parse(url).unwrap());
    request.head = bits & 1 != 0;
    request.fail_on_status = bits & 2 == 0;
    request.max_redirects = [Some(3), None, Some(0), Some(50)][usize::from(bits >> 2 & 3)];
    if bits & 16 != 0 {
        request.credentials = Some(Credentials { user: "me".to_owned(), password: "pässword".to_owned() });
    }
    if bits & 32 != 0 {
        request.data_mode = DataMode::Active((bits & 64 != 0).then(|| [192, 0, 2, 1].into()));
    }
    match part & 7 {
        1 => request.resume_from = Some(u64::from(part >> 3)),
        2 => request.resume_from = Some(u64::MAX - 1),
        3 => request.range = Some(ByteRange::Inclusive(2, u64::from(part >> 3))),
        4 => request.range = Some(ByteRange::From(u64::from(part >> 3))),
        5 => request.range = Some(ByteRange::Last(u64::from(part >> 3))),
        6 => request.range = Some(ByteRange::Inclusive(0, u64::MAX)),
        _ => {}
    }
    request.max_time = Some(PATIENCE);
    request
}

fn client(network: Hostile) -> Client {
    let config = ClientConfig { idle_timeout: Some(PATIENCE), ..ClientConfig::default() };
    Client::new(Arc::new(network), config)
}

/// Fetches, and compares what is said with what is so.
fn fetched(client: &mut Client, request: &Request, room: u64) {
    let mut bucket = Bucket { room, ..Bucket::default() };
    let transfer = fetch(client, request, &mut bucket);
    let report = &transfer.report;
    assert_eq!(report.bytes, bucket.bytes);
    assert_eq!(report.body, bucket.begun);
    assert!(report.redirects <= request.max_redirects.unwrap_or(0));
    match transfer.result {
        Ok(()) => {
            let Some(body) = bucket.begun else { return };
            if let Some(length) = body.length
                && request.range.is_none()
            {
                // A file may grow while FTP sends it, after its size was asked for.
                let ftp = request.target.scheme() == bypath_apps::Scheme::Ftp;
                let right = if ftp { bucket.bytes >= length } else { bucket.bytes == length };
                assert!(right, "complete with {} bytes of {length}", bucket.bytes);
            }
            if let (Some(from), false) = (request.resume_from, request.head) {
                assert!(body.offset == from || body.length == Some(0) || from == 0, "{body:?} from {from}");
            }
        }
        Err(error) => {
            assert_ne!(error.exit_code(), 0);
            let _ = error.to_string();
        }
    }
}

/// Two requests of one HTTP client.
pub fn http(data: &[u8]) {
    let mut tape = Tape::new(data);
    let how = tape.byte();
    let url = if how & 1 == 0 { "http://10.0.0.1/dir/file?q" } else { "http://me:pw@[fd00::1]:8080/" };
    let requests = [request(&mut tape, url), request(&mut tape, "http://10.0.0.1/another")];
    let mut client = client(Hostile::speaking(tape.take(usize::MAX)));
    for request in requests {
        fetched(&mut client, &request, if how & 2 == 0 { 1 << 20 } else { 10 });
    }
}

/// One FTP session.
pub fn ftp(data: &[u8]) {
    let mut tape = Tape::new(data);
    let how = tape.byte();
    let urls = [
        "ftp://10.0.0.1/dir/file",
        "ftp://me:pw@[fd00::1]/%2Fetc/file;type=a",
        "ftp://10.0.0.1:2121/dir/",
        "ftp://10.0.0.1/file;type=i",
    ];
    let request = request(&mut tape, urls[usize::from(how & 3)]);
    let mut client = client(Hostile::speaking(tape.take(usize::MAX)));
    fetched(&mut client, &request, if how & 4 == 0 { 1 << 20 } else { 10 });
}

/// One look-up.
pub fn dns(data: &[u8]) {
    let mut tape = Tape::new(data);
    let (how, name) = (tape.byte(), tape.byte());
    let server = |last: u16| SocketAddr::new([0xfd00, 0, 0, 0, 0, 0, 0, last].into(), 53);
    let config = ResolverConfig {
        servers: vec![SocketAddr::new([10, 0, 0, 53].into(), 53), server(0x53)],
        search: vec!["a.example".to_owned(), "b.example".to_owned()],
        ndots: usize::from(how >> 4 & 3),
        timeout: Duration::from_millis(200),
        attempts: u32::from(how >> 6 & 1) + 1,
        use_tcp: how & 4 != 0,
        ..ResolverConfig::default()
    };
    let family = [Family::Any, Family::V4, Family::V6][usize::from(how & 3) % 3];
    let own;
    let name = match name & 3 {
        0 => "www.example",
        1 => "h.",
        2 => "a.b.c.d",
        _ => {
            own = String::from_utf8_lossy(tape.take(usize::from(name >> 2))).into_owned();
            &own
        }
    };
    let network = Hostile::answering(tape.take(usize::MAX));
    match Resolver::new(&network, &config).lookup(name, family, Some(PATIENCE)) {
        Ok(found) => {
            assert!(!found.addresses.is_empty());
            let right = |ip: &std::net::IpAddr| match family {
                Family::Any => true,
                Family::V4 => ip.is_ipv4(),
                Family::V6 => ip.is_ipv6(),
            };
            assert!(found.addresses.iter().all(right));
            assert!(found.tried.len() <= config.search.len() + 1);
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
}
