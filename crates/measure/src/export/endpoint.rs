//! Where Prometheus fetches the figures: a small HTTP server on the kernel's stack, in a thread of its own.
//!
//! It answers one client at a time, reads no more than a request's head, and waits for no client longer than a second: it
//! must not disturb what is being measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::OutputError;

/// Longest head of a request, bytes.
const LONGEST: usize = 8 * 1024;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    page: Arc<Mutex<String>>,
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Binds the address in this thread's network namespace, and begins to answer.
    ///
    /// # Errors
    /// When the address is in use, or not one of this host.
    pub fn bind(address: SocketAddr) -> Result<Endpoint, OutputError> {
        let failed = |error| OutputError::new(format!("figures for Prometheus at {address}"), error);
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let page = Arc::new(Mutex::new(String::new()));
        let shown = page.clone();
        let thread = std::thread::Builder::new()
            .name("bypath-metrics".into())
            .spawn(move || serve(&listener, &stopped, &shown))
            .map_err(failed)?;
        Ok(Endpoint { address, page, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows this page from now on.
    pub fn publish(&self, page: String) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stopped: &UnixStream, page: &Mutex<String>) {
    loop {
        let mut wanted = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        // A signal ends the wait early; then nothing is ready.
        let waited = poll(&mut wanted, PollTimeout::NONE);
        let ready = |at: usize| wanted.get(at).and_then(PollFd::any).unwrap_or(false);
        if ready(1) {
            return;
        }
        match listener.accept() {
            Ok((client, _)) => {
                let text = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A client that goes away, or is slow, has missed it.
                let _ = answer(client, &text);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: not to be asked again at once.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
        if waited.is_err_and(|error| error != nix::errno::Errno::EINTR) {
            return;
        }
    }
}

fn answer(mut client: TcpStream, page: &str) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(PATIENCE))?;
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::with_capacity(512);
    let mut piece = [0; 512];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        client.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let n = client.read(&mut piece)?;
        if n == 0 || left.is_zero() {
            return Ok(());
        }
        head.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics" | b"/") => ("200 OK", page),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "the figures are at /metrics\n"),
        _ => ("405 Method Not Allowed", "GET only\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n{}\r\n",
        body.len(),
        if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" }
    );
    client.write_all(head.as_bytes())?;
    if method != b"HEAD" {
        client.write_all(body.as_bytes())?;
    }
    Ok(())
}
