//! Servers on loopback that say exactly what a test wants them to say, right or wrong.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bypath_apps::{BodyInfo, Client, ClientConfig, KernelNetwork, Request, Sink, Target, Transfer, fetch};

/// Longer than anything here takes: a test that waits for it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// One connection, seen from the server.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// One line without its end; empty at the end of the stream.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The head of an HTTP request.
    pub(crate) fn request(&mut self) -> String {
        let mut head = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return head;
            }
            head.push_str(&line);
            head.push('\n');
        }
    }

    /// Expects a command and answers it.
    pub(crate) fn answer(&mut self, command: &str, reply: &str) {
        assert_eq!(self.line(), command);
        self.send(format!("{reply}\r\n"));
    }

    /// Waits until the client has closed the connection.
    pub(crate) fn wait_for_close(&mut self) {
        let mut rest = Vec::new();
        // A reset is a close as well.
        let _ = self.reader.read_to_end(&mut rest);
    }

    /// Closes with a reset instead of a FIN.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A server thread; the test fails if the server's part of the script does.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Runs `script` with a listener on a free port of 127.0.0.1.
    pub(crate) fn listening(script: impl FnOnce(TcpListener) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        Server { addr, thread: Some(std::thread::spawn(move || script(listener))) }
    }

    /// Accepts one connection and runs `script` on it.
    pub(crate) fn once(script: impl FnOnce(Peer) + Send + 'static) -> Server {
        Server::listening(|listener| script(accept(&listener)))
    }

    /// Answers one HTTP request with these bytes and closes.
    pub(crate) fn saying(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        Server::once(move |mut peer| {
            peer.request();
            peer.send(bytes);
        })
    }

    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.addr)
    }

    /// Waits for the script's end.
    pub(crate) fn done(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(crate) fn accept(listener: &TcpListener) -> Peer {
    Peer::new(listener.accept().unwrap().0)
}

/// A sink that keeps everything.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) info: Option<BodyInfo>,
    pub(crate) bytes: Vec<u8>,
}

impl Sink for Kept {
    fn begin(&mut self, info: &BodyInfo) -> std::io::Result<()> {
        assert!(self.info.replace(*info).is_none(), "begun twice");
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn client() -> Client {
    Client::new(Arc::new(KernelNetwork), ClientConfig::default())
}

pub(crate) fn request(url: &str) -> Request {
    Request { max_time: Some(LONG), ..Request::new(Target::parse(url).unwrap()) }
}

/// Fetches with a client of its own.
pub(crate) fn run(request: &Request) -> (Transfer, Kept) {
    run_with(&mut client(), request)
}

pub(crate) fn run_with(client: &mut Client, request: &Request) -> (Transfer, Kept) {
    let mut kept = Kept::default();
    let transfer = fetch(client, request, &mut kept);
    assert_eq!(transfer.report.bytes, kept.bytes.len() as u64, "the report counts what the sink took");
    (transfer, kept)
}

pub(crate) fn body_of(request: &Request) -> Vec<u8> {
    let (transfer, kept) = run(request);
    transfer.result.unwrap();
    kept.bytes
}

pub(crate) fn code_of(transfer: &Transfer) -> u8 {
    transfer.result.as_ref().err().map_or(0, bypath_apps::FetchError::exit_code)
}
