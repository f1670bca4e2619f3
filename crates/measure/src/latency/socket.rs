//! UDP on the engine's sockets, and TCP and UDP on the kernel's, for comparison: one thread that blocks or spins.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bypath::Engine;

use super::engine::{Ended, Run};
use super::rounds::{Due, PingPlan, Rounds};
use super::slices::{self, PingRecorder, Tell};
use crate::blast::clock::now_ns;
use crate::result::ErrorCode;

/// How long a read blocks at most, so that Ctrl-C is heard.
const LOOK: Duration = Duration::from_millis(20);
/// With more time than this until the next message is due, one that may sleep does.
const WORTH_SLEEPING_NS: u64 = 200_000;

/// A way to an echo server. A read gives what is there: `WouldBlock` or `TimedOut` when that is nothing.
pub trait Echo {
    /// Sends a message, or some of it.
    ///
    /// # Errors
    /// What the socket says.
    fn send(&mut self, message: &[u8]) -> io::Result<usize>;

    /// Receives into `out`.
    ///
    /// # Errors
    /// What the socket says.
    fn receive(&mut self, out: &mut [u8]) -> io::Result<usize>;

    /// Messages keep their boundaries, and may be lost.
    fn is_datagram(&self) -> bool;
}

/// The kernel's TCP.
#[derive(Debug)]
pub struct KernelTcp(TcpStream);

impl KernelTcp {
    /// Connects.
    ///
    /// # Errors
    /// What connecting, or the socket's options, say.
    pub fn connect(target: SocketAddr, plan: &PingPlan) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&target, plan.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(plan.spin)?;
        stream.set_read_timeout(Some(LOOK))?;
        Ok(KernelTcp(stream))
    }
}

impl Echo for KernelTcp {
    fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        self.0.write(message)
    }

    fn receive(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            other => other,
        }
    }

    fn is_datagram(&self) -> bool {
        false
    }
}

/// The kernel's UDP.
#[derive(Debug)]
pub struct KernelUdp(UdpSocket);

impl KernelUdp {
    /// A socket that talks to `target`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(target: SocketAddr, plan: &PingPlan) -> io::Result<Self> {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(target)?;
        socket.set_nonblocking(plan.spin)?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(KernelUdp(socket))
    }
}

impl Echo for KernelUdp {
    fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        self.0.send(message)
    }

    fn receive(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.recv(out)
    }

    fn is_datagram(&self) -> bool {
        true
    }
}

/// The engine's UDP.
#[derive(Debug)]
pub struct EngineUdp {
    socket: bypath::UdpSocket,
    target: SocketAddr,
}

impl EngineUdp {
    /// A socket that talks to `target`.
    ///
    /// # Errors
    /// No route, or what the socket says.
    pub fn bind(engine: &Engine, target: SocketAddr, plan: &PingPlan) -> io::Result<Self> {
        let local = engine.source_for(target.ip())?;
        let socket = bypath::UdpSocket::bind(engine, SocketAddr::new(local, 0))?;
        socket.set_read_timeout(Some(if plan.spin { Duration::ZERO } else { LOOK }))?;
        Ok(EngineUdp { socket, target })
    }
}

impl Echo for EngineUdp {
    fn send(&mut self, message: &[u8]) -> io::Result<usize> {
        self.socket.send_to(message, self.target)
    }

    fn receive(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let (len, from) = self.socket.recv_from(out)?;
            if from == self.target {
                return Ok(len);
            }
        }
    }

    fn is_datagram(&self) -> bool {
        true
    }
}

/// Runs the plan over a way to an echo server at `target`, on a thread of its own; this one tells of each interval.
pub fn run(
    way: &mut (dyn Echo + Send),
    target: SocketAddr,
    plan: &PingPlan,
    stop: &AtomicBool,
    tell: &mut Tell<'_>,
) -> Run {
    let (recorder, mut collector) = slices::channel(plan);
    std::thread::scope(|scope| {
        let measuring = scope.spawn(move || measure(way, target, plan, stop, recorder));
        while !measuring.is_finished() {
            collector.tell(tell);
            std::thread::sleep(LOOK);
        }
        let mut run = measuring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        run.0.intervals = collector.finish(tell);
        run
    })
}

fn measure(
    way: &mut dyn Echo,
    target: SocketAddr,
    plan: &PingPlan,
    stop: &AtomicBool,
    recorder: PingRecorder,
) -> Run {
    let mut rounds = Rounds::new(plan, now_ns(), Some(recorder));
    let mut answer = vec![0; plan.size.max(1) + 1];
    let mut got = 0;
    let ended = loop {
        if stop.load(Ordering::Relaxed) {
            let message = "interrupted: this is what was measured until then".to_owned();
            break Some((ErrorCode::Interrupted, message));
        }
        let now = now_ns();
        let was_waiting = rounds.is_waiting();
        match rounds.due(now) {
            Due::Never => break None,
            Due::At(at) => idle(at.saturating_sub(now), plan.spin),
            _ if was_waiting && !rounds.is_waiting() && !way.is_datagram() => {
                break Some(stalled(target, rounds.has_answers(), plan.timeout));
            }
            _ if was_waiting && !rounds.is_waiting() && !rounds.has_answers() => {
                break Some(stalled(target, false, plan.timeout));
            }
            Due::Now => {
                got = 0;
                if let Err(error) = send_all(way, rounds.send(now_ns())) {
                    break Some(told(&error, target));
                }
            }
            Due::Answer(_) => match way.receive(&mut answer[got..]) {
                Ok(len) if way.is_datagram() => {
                    let right = answer.get(..len) == Some(rounds.message());
                    // The late answer to a message that was given up is no answer to this one.
                    if right || len != plan.size {
                        rounds.answered(now_ns(), right);
                    }
                }
                Ok(len) => {
                    got += len;
                    if got >= rounds.message().len() {
                        let right = answer.get(..got) == Some(rounds.message());
                        rounds.answered(now_ns(), right);
                    }
                }
                Err(error) if is_nothing_yet(&error) => {
                    if plan.spin {
                        std::hint::spin_loop();
                    }
                }
                Err(error) => break Some(told(&error, target)),
            },
        }
    };
    (rounds.finish(now_ns()), ended)
}

fn send_all(way: &mut dyn Echo, message: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < message.len() {
        match way.send(&message[sent..]) {
            Ok(len) => sent += len,
            Err(error) if is_nothing_yet(&error) => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn idle(ns: u64, spin: bool) {
    if !spin && ns > WORTH_SLEEPING_NS {
        std::thread::sleep(Duration::from_nanos(ns - WORTH_SLEEPING_NS / 2).min(LOOK));
    } else {
        std::hint::spin_loop();
    }
}

/// No answer came in time, after others or at all.
pub(super) fn stalled(target: SocketAddr, has_answers: bool, timeout: Duration) -> Ended {
    if has_answers {
        return (ErrorCode::PeerGone, format!("{target} stopped answering"));
    }
    let message = format!("{target} did not answer within {timeout:?}: is it an echo server?");
    (ErrorCode::TimedOut, message)
}

/// What an error of a socket means.
pub fn told(error: &io::Error, target: SocketAddr) -> Ended {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            (ErrorCode::Refused, format!("{target} refuses: nobody listens there"))
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            (ErrorCode::TimedOut, format!("{target} does not answer"))
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            (ErrorCode::Unreachable, format!("{target} cannot be reached ({error}): is there a route to it?"))
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            (ErrorCode::PeerGone, format!("{target} closed the connection"))
        }
        ErrorKind::InvalidInput => (ErrorCode::Usage, error.to_string()),
        _ => (ErrorCode::Other, format!("{target}: {error}")),
    }
}
