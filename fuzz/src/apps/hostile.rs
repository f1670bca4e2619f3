//! A network in memory where everybody else reads from a tape. Nothing in it waits: who has no more to say has
//! closed the connection.
//!
//! A tape is what the peers send, one connection after the other, as it is, but for the lowest five byte values:
//! 0 ends a read, 1 makes the next read find nothing yet, 2 ends the connection, 3 resets it, 4 takes the next
//! byte for itself.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bypath_apps::{Listener, Network, Stream, Udp};

/// What a read finds.
#[derive(Clone, Debug)]
enum Event {
    Bytes(Vec<u8>),
    Nothing,
    Reset,
}

type Spoken = VecDeque<Event>;

/// Connections that a client may open before that is a finding.
const MOST_CONNECTIONS: usize = 200;

fn connections(tape: &[u8]) -> VecDeque<Spoken> {
    let mut all = VecDeque::new();
    let (mut spoken, mut bytes) = (Spoken::new(), Vec::new());
    let mut tape = tape.iter();
    let mut open = false;
    while let Some(byte) = tape.next() {
        open = true;
        match byte {
            4 => bytes.extend(tape.next()),
            5.. => bytes.push(*byte),
            special => {
                if !bytes.is_empty() {
                    spoken.push_back(Event::Bytes(std::mem::take(&mut bytes)));
                }
                match special {
                    0 => {}
                    1 => spoken.push_back(Event::Nothing),
                    _ => {
                        if *special == 3 {
                            spoken.push_back(Event::Reset);
                        }
                        all.push_back(std::mem::take(&mut spoken));
                        open = false;
                    }
                }
            }
        }
    }
    if open {
        spoken.push_back(Event::Bytes(bytes));
        all.push_back(spoken);
    }
    all
}

/// An answer to a DNS query: how much of the query it repeats, and what follows.
#[derive(Clone, Debug)]
struct Answer {
    repeats: u8,
    rest: Vec<u8>,
}

#[derive(Debug, Default)]
struct Peers {
    connections: VecDeque<Spoken>,
    opened: usize,
    answers: VecDeque<Answer>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Hostile(Arc<Mutex<Peers>>);

impl Hostile {
    /// Whose servers speak from this tape.
    pub(super) fn speaking(tape: &[u8]) -> Self {
        let peers = Peers { connections: connections(tape), ..Peers::default() };
        Self(Arc::new(Mutex::new(peers)))
    }

    /// Whose name servers answer from this tape: for each answer a byte that says how it begins, one for its
    /// length, and its bytes.
    pub(super) fn answering(mut tape: &[u8]) -> Self {
        let mut answers = VecDeque::new();
        while let [repeats, len, rest @ ..] = tape {
            let (rest, after) = rest.split_at(usize::from(*len).min(rest.len()));
            answers.push_back(Answer { repeats: *repeats, rest: rest.to_vec() });
            tape = after;
        }
        Self(Arc::new(Mutex::new(Peers { answers, ..Peers::default() })))
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, local: SocketAddr, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let mut peers = self.peers();
        peers.opened += 1;
        assert!(peers.opened < MOST_CONNECTIONS, "one connection after the other");
        let dns = !peers.answers.is_empty();
        let spoken = peers.connections.pop_front();
        if spoken.is_none() && !dns {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        drop(peers);
        let network = dns.then(|| self.clone());
        Ok(Box::new(Peer { spoken: spoken.unwrap_or_default(), local, peer, network, asked: Vec::new() }))
    }

    /// The next answer to `query`; `None` when there is no more, `Some(None)` when it is late.
    fn answer(&self, query: &[u8]) -> Option<Option<Vec<u8>>> {
        let Answer { repeats, rest } = self.peers().answers.pop_front()?;
        if repeats & 0x80 != 0 {
            return Some(None);
        }
        let mut bytes = Vec::new();
        if repeats & 1 == 0 {
            // Its header and question, made an answer, with so many records of each kind.
            bytes.extend_from_slice(query);
            if let [_, _, flags, code, _, _, _, answers, _, authority, ..] = bytes.as_mut_slice() {
                (*flags, *code) = (*flags | 0x80 | repeats & 2, repeats >> 4 & 7);
                (*answers, *authority) = (1 + (repeats >> 2 & 3), 0);
            }
        }
        bytes.extend_from_slice(&rest);
        Some(Some(bytes))
    }
}

fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { [10, 0, 0, 9].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, 9].into() }
}

impl Network for Hostile {
    fn connect(&self, addr: SocketAddr, _timeout: Duration) -> io::Result<Box<dyn Stream>> {
        self.open(SocketAddr::new(any(addr), 40_000), addr)
    }

    fn listen(&self, local: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Ear { network: self.clone(), local: SocketAddr::new(local.ip(), 50_000) }))
    }

    fn udp(&self, local: SocketAddr) -> io::Result<Box<dyn Udp>> {
        Ok(Box::new(Mouth { network: self.clone(), local, asked: Mutex::default() }))
    }

    fn local_ip_for(&self, peer: IpAddr) -> io::Result<IpAddr> {
        Ok(any(SocketAddr::new(peer, 0)))
    }
}

struct Peer {
    spoken: Spoken,
    local: SocketAddr,
    peer: SocketAddr,
    /// Of a name server: where its answers are.
    network: Option<Hostile>,
    asked: Vec<u8>,
}

impl Read for Peer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.spoken.is_empty()
            && let Some(network) = &self.network
            && let Some(answer) = network.answer(self.asked.get(2..).unwrap_or_default())
        {
            self.spoken.push_back(match answer {
                Some(bytes) => {
                    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
                    Event::Bytes([&len[..], &bytes].concat())
                }
                None => Event::Nothing,
            });
        }
        match self.spoken.pop_front() {
            None => Ok(0),
            Some(Event::Nothing) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Event::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Event::Bytes(mut bytes)) => {
                let n = bytes.len().min(out.len());
                out[..n].copy_from_slice(&bytes[..n]);
                if n < bytes.len() {
                    bytes.drain(..n);
                    self.spoken.push_front(Event::Bytes(bytes));
                } else if n == 0 {
                    return self.read(out);
                }
                Ok(n)
            }
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // In two pieces, if there are two in it.
        let n = bytes.len().div_ceil(2);
        if self.network.is_some() {
            self.asked.extend_from_slice(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        // As the sockets of the standard library have it.
        assert_ne!(timeout, Some(Duration::ZERO));
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        assert_ne!(timeout, Some(Duration::ZERO));
        Ok(())
    }

    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

struct Ear {
    network: Hostile,
    local: SocketAddr,
}

impl Listener for Ear {
    fn accept(&self, _timeout: Duration) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        let server: IpAddr =
            if self.local.is_ipv4() { [10, 0, 0, 1].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, 1].into() };
        let peer = SocketAddr::new(server, 20);
        let stream = self.network.open(self.local, peer).map_err(|_| io::ErrorKind::ConnectionAborted)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

struct Mouth {
    network: Hostile,
    local: SocketAddr,
    asked: Mutex<VecDeque<(Vec<u8>, SocketAddr)>>,
}

impl Udp for Mouth {
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push_back((data.to_vec(), to));
        Ok(data.len())
    }

    fn recv_from(&self, buf: &mut [u8], _timeout: Duration) -> io::Result<(usize, SocketAddr)> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Each question in turn is the one that is answered, rightly or wrongly.
        let (query, server) = asked.pop_front().ok_or(io::ErrorKind::ConnectionRefused)?;
        let answer = self.network.answer(&query);
        let from = server;
        asked.push_back((query, server));
        match answer {
            None => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(None) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Some(bytes)) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
                Ok((n, from))
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
