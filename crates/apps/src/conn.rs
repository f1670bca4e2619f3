//! A stream with a read buffer and a time budget: what HTTP and FTP read lines and bodies from.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use crate::budget::{Budget, TICK};
use crate::error::FetchError;
use crate::net::{Stream, is_transient};

/// Room for bodies: large, so that one read takes what a fast network has brought meanwhile.
pub(crate) const BODY_BUFFER: usize = 256 * 1024;
/// Room for a control connection, whose longest line is [`crate::ftp::MAX_LINE`].
pub(crate) const CONTROL_BUFFER: usize = 16 * 1024;

pub(crate) struct Conn {
    stream: Box<dyn Stream>,
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// The read timeout that the socket has now.
    armed: Duration,
    /// Retransmits that were reported before, when the connection is used a second time.
    reported: u64,
}

impl Conn {
    pub(crate) fn new(stream: Box<dyn Stream>, capacity: usize) -> Result<Conn, FetchError> {
        let setup = || {
            stream.set_read_timeout(Some(TICK))?;
            stream.set_write_timeout(Some(TICK))
        };
        setup().map_err(|e| FetchError::Recv(e.to_string()))?;
        Ok(Conn { stream, buf: vec![0; capacity].into(), start: 0, end: 0, armed: TICK, reported: 0 })
    }

    /// What was received and not consumed yet.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.start == 0 && self.end == self.buf.len()
    }

    /// Waits for more bytes; 0 is the end of the stream. The buffer must not be full.
    pub(crate) fn fill(&mut self, budget: &Budget, doing: &str) -> Result<usize, FetchError> {
        let since = Instant::now();
        loop {
            budget.check_idle(since, doing)?;
            match self.read_once(budget.tick()) {
                Ok(n) => return Ok(n),
                Err(e) if is_transient(&e) => {}
                Err(e) => return Err(FetchError::Recv(e.to_string())),
            }
        }
    }

    /// Reads what comes within `wait`; `None` when nothing does.
    pub(crate) fn fill_within(&mut self, wait: Duration) -> Result<Option<usize>, FetchError> {
        match self.read_once(wait) {
            Ok(n) => Ok(Some(n)),
            Err(e) if is_transient(&e) => Ok(None),
            Err(e) => Err(FetchError::Recv(e.to_string())),
        }
    }

    fn read_once(&mut self, wait: Duration) -> io::Result<usize> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if wait != self.armed {
            self.stream.set_read_timeout(Some(wait))?;
            self.armed = wait;
        }
        let n = self.stream.read(&mut self.buf[self.end..])?;
        self.end += n;
        Ok(n)
    }

    pub(crate) fn send(&mut self, mut data: &[u8], budget: &Budget, doing: &str) -> Result<(), FetchError> {
        let since = Instant::now();
        while !data.is_empty() {
            budget.check_idle(since, doing)?;
            match self.stream.write(data) {
                Ok(0) => return Err(FetchError::Send(io::ErrorKind::WriteZero.into())),
                Ok(n) => data = &data[n..],
                Err(e) if is_transient(&e) => {}
                Err(e) => return Err(FetchError::Send(e)),
            }
        }
        self.stream.flush().map_err(FetchError::Send)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Segments sent again since this was last asked.
    pub(crate) fn take_retransmits(&mut self) -> u64 {
        let total = self.stream.retransmits();
        let fresh = total.saturating_sub(self.reported);
        self.reported = total;
        fresh
    }

    /// Says that we are done; the peer may have been faster, which is no error here.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
