//! A TCP server on the kernel's stack of a host, for transfers whose content is checked at both ends.
//!
//! Its threads live in the host's namespace; the test talks to it with whatever it tests.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;
use crate::error::{Doing, LabError};
use crate::host::Host;
use crate::pattern::Pattern;

const CHUNK: usize = 256 * 1024;

/// What the server does with each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpJob {
    /// Sends back what it reads, until the client has no more.
    Echo,
    /// Reads until the client has no more, and checks it against a pattern when one is given.
    Sink(Option<Pattern>),
    /// Sends that many bytes of the pattern and closes.
    Source(Pattern, u64),
    /// Sends that many bytes of the first pattern while it reads to the end and checks against the second.
    Exchange(Pattern, u64, Pattern),
}

/// How one connection went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpReport {
    /// The client.
    pub peer: SocketAddr,
    /// Bytes read.
    pub received: u64,
    /// Bytes handed to the kernel.
    pub sent: u64,
    /// Where what was read first differed from the pattern.
    pub mismatch: Option<u64>,
    /// What ended the connection before its time.
    pub error: Option<io::ErrorKind>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    reports: Mutex<Vec<TcpReport>>,
    reported: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn reports(&self) -> MutexGuard<'_, Vec<TcpReport>> {
        // A report is pushed whole: a thread that panicked cannot have left half of one.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Dropping it resets its connections and stops it.
#[derive(Debug)]
pub struct TcpService {
    address: SocketAddr,
    host: Host,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<Result<()>>>,
}

impl TcpService {
    /// Starts a server on an address of the host; port 0 picks a free one.
    ///
    /// # Errors
    /// [`LabError::Io`] when the address cannot be bound.
    pub fn start(host: &Host, address: SocketAddr, job: TcpJob) -> Result<TcpService> {
        let listener =
            host.run(|| TcpListener::bind(address))?.doing(|| format!("listening on {address}"))?;
        let address = listener.local_addr().doing(|| "asking for the port".into())?;
        let shared = Arc::new(Shared::default());
        let for_acceptor = Arc::clone(&shared);
        let acceptor = host.spawn("tcp-service", move || accept(&listener, job, &for_acceptor))?;
        Ok(TcpService { address, host: host.clone(), shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until that many connections have ended, and returns how they went in the order they ended.
    ///
    /// # Errors
    /// [`LabError::NotReady`] when they take longer than that.
    pub fn reports(&self, connections: usize, patience: Duration) -> Result<Vec<TcpReport>> {
        let deadline = Instant::now() + patience;
        let mut reports = self.shared.reports();
        while reports.len() < connections {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LabError::NotReady {
                    name: format!("the TCP server on {}", self.address),
                    waited: patience,
                    why: format!("{} of {connections} connections have ended", reports.len()),
                    log: format!("{reports:?}"),
                });
            }
            let waited = self.shared.reported.wait_timeout(reports, left);
            reports = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(reports.clone())
    }
}

impl Drop for TcpService {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The acceptor waits in accept(): a connection of our own wakes it.
        let address = self.address;
        let _ = self.host.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(drop));
        for stream in self.shared.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, job: TcpJob, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    while let Ok((stream, peer)) = listener.accept() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        if let Ok(handle) = stream.try_clone() {
            shared.open().push(handle);
        }
        let for_thread = Arc::clone(shared);
        let served = std::thread::Builder::new().name("tcp-connection".into()).spawn(move || {
            let report = serve(&stream, peer, job);
            // A socket stays open while a clone of it does, and the client waits for its end.
            for_thread.open().retain(|open| open.peer_addr().is_ok_and(|open| open != peer));
            drop(stream);
            for_thread.reports().push(report);
            for_thread.reported.notify_all();
        });
        serving.extend(served.ok());
    }
    for stream in shared.open().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in serving {
        let _ = thread.join();
    }
}

fn serve(stream: &TcpStream, peer: SocketAddr, job: TcpJob) -> TcpReport {
    let mut report = TcpReport { peer, received: 0, sent: 0, mismatch: None, error: None };
    let done = match job {
        TcpJob::Echo => echo(stream, &mut report),
        TcpJob::Sink(pattern) => receive(stream, pattern, &mut report.received, &mut report.mismatch),
        TcpJob::Source(pattern, len) => send(stream, pattern, len, &mut report.sent),
        TcpJob::Exchange(ours, len, theirs) => std::thread::scope(|scope| {
            let (sent, received, mismatch) = (&mut report.sent, &mut report.received, &mut report.mismatch);
            let sender = scope.spawn(|| send(stream, ours, len, sent));
            let received = receive(stream, Some(theirs), received, mismatch);
            let sent = sender.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
            received.and(sent)
        }),
    };
    report.error = done.err().map(|error| error.kind());
    report
}

fn echo(mut stream: &TcpStream, report: &mut TcpReport) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        report.received += n as u64;
        stream.write_all(&buffer[..n])?;
        report.sent += n as u64;
    }
}

/// Reads to the end of a stream and checks it against a pattern: how much there was, and where it first
/// differed.
///
/// # Errors
/// The stream's.
pub fn receive(
    mut stream: impl Read,
    pattern: Option<Pattern>,
    received: &mut u64,
    mismatch: &mut Option<u64>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        if mismatch.is_none() {
            *mismatch = pattern.and_then(|pattern| pattern.mismatch(*received, &buffer[..n]));
        }
        *received += n as u64;
    }
}

fn send(mut stream: &TcpStream, pattern: Pattern, len: u64, sent: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while *sent < len {
        let n = usize::try_from(len - *sent).map_or(CHUNK, |left| left.min(CHUNK));
        pattern.fill(*sent, &mut buffer[..n]);
        stream.write_all(&buffer[..n])?;
        *sent += n as u64;
    }
    stream.shutdown(Shutdown::Write)
}
