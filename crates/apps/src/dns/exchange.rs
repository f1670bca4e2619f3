//! Asking one server: over UDP with everything about the answer checked, over TCP where the answer
//! does not fit a datagram (RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::budget::Budget;
use crate::conn::Conn;
use crate::dns::message::{Answer, Question, Verdict};
use crate::error::FetchError;
use crate::net::{Network, is_transient};

/// More than any server sends without EDNS, which is not offered (RFC 1035 section 4.2.1 says 512).
const MAX_DATAGRAM: usize = 4096;
/// A message of the largest length that TCP's two-byte prefix can tell, and the prefix.
const MAX_TCP_MESSAGE: usize = 2 + 65535;

/// What became of one question.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Answer),
    Silent,
    Unreachable(io::Error),
}

/// One server, and how long it may take.
pub(crate) struct Server<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) addr: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) budget: &'a Budget,
}

const DOING: &str = "resolving the host";

impl Server<'_> {
    /// Asks all questions at once and returns the outcomes in the same order. An error means that
    /// the transfer is over, not that this server failed.
    pub(crate) fn ask(&self, questions: &[Question], use_tcp: bool) -> Result<Vec<Outcome>, FetchError> {
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        outcomes.resize_with(questions.len(), || None);
        if use_tcp {
            for (question, outcome) in questions.iter().zip(&mut outcomes) {
                *outcome = Some(self.ask_tcp(question)?);
            }
        } else if let Err(e) = self.ask_udp(questions, &mut outcomes) {
            match e {
                Stop::Over(e) => return Err(e),
                Stop::Socket(e) => {
                    let kind = e.kind();
                    let mut first = Some(e);
                    for outcome in outcomes.iter_mut().filter(|o| o.is_none()) {
                        *outcome = Some(Outcome::Unreachable(first.take().unwrap_or_else(|| kind.into())));
                    }
                }
            }
        }
        Ok(outcomes.into_iter().map(|o| o.unwrap_or(Outcome::Silent)).collect())
    }

    fn ask_udp(&self, questions: &[Question], outcomes: &mut [Option<Outcome>]) -> Result<(), Stop> {
        // A socket for every exchange: each has its own unpredictable port.
        let local = self.network.local_ip_for(self.addr.ip())?;
        let socket = self.network.udp(SocketAddr::new(local, 0))?;
        for question in questions {
            let query = question.encode().ok_or(io::ErrorKind::InvalidInput)?;
            socket.send_to(&query, self.addr)?;
        }
        let give_up = Instant::now() + self.timeout;
        let mut buf = [0; MAX_DATAGRAM];
        while outcomes.iter().any(Option::is_none) {
            self.budget.check(DOING)?;
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let (len, from) = match socket.recv_from(&mut buf, self.budget.tick().min(left)) {
                Ok(received) => received,
                Err(e) if is_transient(&e) => continue,
                Err(e) => return Err(e.into()),
            };
            if (from.ip(), from.port()) != (self.addr.ip(), self.addr.port()) {
                debug!(%from, server = %self.addr, "ignored a DNS answer from somebody else");
                continue;
            }
            for (question, outcome) in questions.iter().zip(outcomes.iter_mut()) {
                if outcome.is_some() {
                    continue;
                }
                match question.judge(&buf[..len]) {
                    Verdict::NotOurs => {}
                    Verdict::Answer(answer) => *outcome = Some(Outcome::Answered(answer)),
                    Verdict::Truncated => *outcome = Some(self.ask_tcp(question)?),
                }
            }
        }
        Ok(())
    }

    fn ask_tcp(&self, question: &Question) -> Result<Outcome, FetchError> {
        match self.converse(question) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Socket(e)) if e.kind() == io::ErrorKind::TimedOut => Ok(Outcome::Silent),
            Err(Stop::Socket(e)) => Ok(Outcome::Unreachable(e)),
            Err(Stop::Over(FetchError::Recv(text))) => Ok(Outcome::Unreachable(io::Error::other(text))),
            Err(Stop::Over(FetchError::Send(e))) => Ok(Outcome::Unreachable(e)),
            Err(Stop::Over(e)) => Err(e),
        }
    }

    fn converse(&self, question: &Question) -> Result<Outcome, Stop> {
        let give_up = Instant::now() + self.timeout;
        let query = question.encode().ok_or(io::ErrorKind::InvalidInput)?;
        let prefix = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let stream = self.network.connect(self.addr, self.budget.cap(self.timeout))?;
        let mut conn = Conn::new(stream, MAX_TCP_MESSAGE)?;
        conn.send(&[&prefix.to_be_bytes()[..], &query].concat(), self.budget, DOING)?;
        loop {
            while let Some(message) = take_message(&mut conn) {
                match question.judge(&message) {
                    Verdict::Answer(answer) => return Ok(Outcome::Answered(answer)),
                    Verdict::Truncated => return Err(Stop::Socket(io::ErrorKind::InvalidData.into())),
                    Verdict::NotOurs => {}
                }
            }
            self.budget.check(DOING)?;
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Outcome::Silent);
            }
            let wait = self.budget.tick().min(left).max(Duration::from_millis(1));
            if conn.fill_within(wait)? == Some(0) {
                return Err(Stop::Socket(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Takes one whole message off the connection (RFC 1035 section 4.2.2).
fn take_message(conn: &mut Conn) -> Option<Vec<u8>> {
    let (prefix, rest) = conn.buffered().split_at_checked(2)?;
    let len = usize::from(u16::from_be_bytes([prefix[0], prefix[1]]));
    let message = rest.get(..len)?.to_vec();
    conn.consume(2 + len);
    Some(message)
}

/// Why an exchange ended early: this server cannot be asked, or the transfer is over.
enum Stop {
    Socket(io::Error),
    Over(FetchError),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Stop::Socket(e)
    }
}

impl From<io::ErrorKind> for Stop {
    fn from(kind: io::ErrorKind) -> Self {
        Stop::Socket(kind.into())
    }
}

impl From<FetchError> for Stop {
    fn from(e: FetchError) -> Self {
        Stop::Over(e)
    }
}
