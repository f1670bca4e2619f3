//! The clock, the packets and the order of events. System calls are made in `calls`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bypath::Instant;
use bypath::by_hand::Stack;

use crate::assertion;
use crate::calls::{Descriptors, Pending};
use crate::compare::differences;
use crate::failure::{Failure, Trouble};
use crate::mapping::{Mapping, stream_bytes};
use crate::script::{Action, Body, Event, IcmpSpec, PacketSpec, Script, TcpSpec, Time, Tos, flag};
use crate::settings::Settings;
use crate::show::{Shown, seconds};
use crate::symbols;
use crate::variables::{self, Unknown};
use crate::wire::{self, IcmpError, Live};

/// First port of peers that open connections to us.
const FIRST_PEER_PORT: u16 = 40_001;
/// A packet that may come at any time comes within this.
const PATIENCE_NS: u64 = 3_600 * 1_000_000_000;
/// A timer of the stack fires at most this much later than it says: one tick of its wheel.
const TICK_NS: u64 = 1 << 15;

/// How to run a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Speak IPv6.
    pub ipv6: bool,
    /// What upstream lets pass is an error: packets that nobody looked at when the script ends, and times
    /// that are off by more than `--tolerance_usecs` because they are long.
    pub strict: bool,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the script asked for and has no counterpart here.
    pub notes: Vec<String>,
    /// What happened, oldest first.
    pub trace: Vec<String>,
}

/// Plays a script against a stack of its own.
///
/// # Errors
/// At the first thing that is not as the script says.
pub fn run(script: &Script, options: &Options) -> Result<Outcome, Failure> {
    let settings = Settings::new(script, options).map_err(|t| t.in_file(&script.file, Vec::new()))?;
    let mut runner = Runner::new(settings);
    let result = runner.play(script, options.strict);
    let mut trace = std::mem::take(&mut runner.trace);
    trace.extend(runner.settings.notes.iter().map(|note| format!("note: {note}")));
    match result {
        Ok(()) => Ok(Outcome { notes: runner.settings.notes, trace }),
        Err(trouble) => {
            trace.extend(runner.outbox.iter().map(|(at, live)| {
                let mut live = live.clone();
                let peer = runner.peers.iter().find(|p| p.is_of(&live));
                peer.inspect(|p| p.mapping.to_script(&mut live));
                format!("{} > {}   (not looked at)", seconds(*at), show(&live, None))
            }));
            Err(trouble.in_file(&script.file, trace))
        }
    }
}

/// The other end of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) mapping: Mapping,
}

impl Peer {
    fn is_of(&self, live: &Live) -> bool {
        (live.src.port(), live.dst.port()) == (self.local_port, self.remote_port)
    }
}

/// A script that is being played.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) settings: Settings,
    pub(crate) stack: Option<Stack>,
    pub(crate) now: u64,
    /// What the stack has sent and the script has not looked at yet.
    outbox: VecDeque<(u64, Live)>,
    pub(crate) peers: Vec<Peer>,
    /// The peer whose packets need no ports.
    pub(crate) current: Option<usize>,
    /// The next packet that arrives comes from a peer of its own.
    pub(crate) awaits_peer: bool,
    pub(crate) descriptors: Descriptors,
    pub(crate) pending: Option<Pending>,
    /// What the stack has sent that is no segment, or a broken one.
    broken: Option<String>,
    trace: Vec<String>,
}

impl Runner {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            stack: None,
            now: 0,
            outbox: VecDeque::new(),
            peers: Vec::new(),
            current: None,
            awaits_peer: false,
            descriptors: Descriptors::default(),
            pending: None,
            broken: None,
            trace: Vec::new(),
        }
    }

    fn play(&mut self, script: &Script, strict: bool) -> Result<(), Trouble> {
        let mut last = 0;
        for event in &script.events {
            self.event(event, last)?;
            if let Some(broken) = self.broken.take() {
                return Err(Trouble::new(event.line, broken));
            }
            last = self.now;
        }
        let line = script.last_line;
        if let Some(pending) = &self.pending {
            let (line, end) = (pending.line, pending.end);
            self.run_until(end + self.settings.tolerance_ns)?;
            if self.pending.is_some() {
                return Err(Trouble::new(line, "the call has not returned when the script ends"));
            }
        }
        match self.outbox.len() {
            0 => Ok(()),
            n if strict => {
                Err(Trouble::new(line, format!("{n} packets were sent that the script does not expect")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn say(&mut self, what: impl AsRef<str>) {
        self.trace.push(format!("{} {}", seconds(self.now), what.as_ref()));
    }

    /// The stack, made with the settings so far when it is needed first.
    pub(crate) fn stack(&mut self) -> Result<&mut Stack, String> {
        if self.stack.is_none() {
            let mut stack = Stack::new(&self.settings.stack).map_err(|e| e.to_string())?;
            let v4 = self.settings.local.is_ipv4();
            stack.add_address(self.settings.local, if v4 { 16 } else { 48 });
            stack.add_gateway(if v4 {
                [192, 168, 255, 254].into()
            } else {
                [0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 0xfe].into()
            });
            stack.poll(Instant::from_nanos(self.now));
            self.stack = Some(stack);
        }
        self.stack.as_mut().ok_or_else(|| "there is no stack".to_owned())
    }

    /// The event's time, as a range, and the moment it counts from.
    fn range(&self, time: Time, last: u64) -> (u64, u64) {
        let (from, to) = match time {
            Time::Absolute(at) => (at, at),
            Time::Relative(after) => (last + after, last + after),
            Time::AbsoluteRange(from, to) => (from, to),
            Time::RelativeRange(from, to) => (last + from, last + to),
            Time::Any => return (0, self.now.saturating_add(PATIENCE_NS)),
        };
        let percent = from.saturating_sub(last) as f64 * self.settings.tolerance_percent / 100.0;
        let tolerance = self.settings.tolerance_ns.max(percent as u64);
        (from.saturating_sub(tolerance), to.saturating_add(tolerance))
    }

    fn event(&mut self, event: &Event, last: u64) -> Result<(), Trouble> {
        let line = event.line;
        let at_line = |message: String| Trouble::new(line, message);
        if let Action::Outbound(spec) = &event.action {
            return self.outbound(line, spec, self.range(event.time, last)).map_err(at_line);
        }
        let at = match event.time {
            Time::Absolute(at) => at,
            Time::Relative(after) => last + after,
            Time::AbsoluteRange(..) | Time::RelativeRange(..) | Time::Any => last,
        };
        if at + self.settings.tolerance_ns < self.now {
            return Err(at_line(format!("time goes backwards: it is {} already", seconds(self.now))));
        }
        self.run_until(at.max(self.now))?;
        match &event.action {
            Action::Inbound(spec) => self.inbound(spec).map_err(at_line)?,
            Action::Outbound(_) => {}
            Action::Call(call) => {
                let base = if matches!(event.time, Time::Relative(_)) { last } else { 0 };
                self.say(format!("{}(…)", call.name));
                self.call(line, call, base)?;
            }
            Action::Command(text) => {
                self.settings.command(line, text, self.stack.is_some())?;
            }
            Action::Code(code) => self.code(line, code)?,
        }
        self.pump()
    }

    /// Lets time pass until `until`, in steps of what the stack waits for.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Trouble> {
        while self.now < until {
            let next = self.stack.as_ref().and_then(Stack::next_deadline).map_or(u64::MAX, Instant::as_nanos);
            self.now = next.max(self.now + 1).min(until);
            self.pump()?;
            if next < self.now {
                // The wheel turns in whole ticks.
                self.now = (self.now + TICK_NS).min(until);
                self.pump()?;
            }
        }
        Ok(())
    }

    /// Has the stack do what is to be done now, and takes what it sends.
    pub(crate) fn pump(&mut self) -> Result<(), Trouble> {
        let now = self.now;
        let Some(stack) = self.stack.as_mut() else { return Ok(()) };
        stack.poll(Instant::from_nanos(now));
        while let Some(packet) = stack.transmit() {
            match wire::read(&packet) {
                Ok(Some(live)) => self.outbox.push_back((now, live)),
                Ok(None) => self.broken = Some("the stack has sent a packet that is not TCP".to_owned()),
                Err(message) => self.broken = Some(message),
            }
        }
        self.resume()
    }

    fn peer_of(&mut self, ports: Option<(u16, u16)>, inbound: bool) -> usize {
        if let Some((src, dst)) = ports {
            let (remote_port, local_port) = if inbound { (src, dst) } else { (dst, src) };
            let found =
                self.peers.iter().position(|p| (p.remote_port, p.local_port) == (remote_port, local_port));
            return found.unwrap_or_else(|| self.add_peer(local_port, remote_port));
        }
        match self.current {
            Some(peer) if !(self.awaits_peer && inbound) => peer,
            _ => {
                self.awaits_peer = false;
                let used = self.peers.iter().map(|p| p.remote_port).max().unwrap_or(0);
                let peer = self.add_peer(self.settings.bind_port, (used + 1).max(FIRST_PEER_PORT));
                self.current = Some(peer);
                peer
            }
        }
    }

    pub(crate) fn add_peer(&mut self, local_port: u16, remote_port: u16) -> usize {
        self.peers.push(Peer { local_port, remote_port, mapping: Mapping::default() });
        self.peers.len() - 1
    }

    pub(crate) fn addresses(&self, peer: &Peer) -> (SocketAddr, SocketAddr) {
        let local = SocketAddr::new(self.settings.local, peer.local_port);
        (local, SocketAddr::new(self.settings.remote, peer.remote_port))
    }

    fn inbound(&mut self, spec: &PacketSpec) -> Result<(), String> {
        let index = self.peer_of(spec.ports, true);
        let scaled = self.settings.ecr_scaled;
        let Some(peer) = self.peers.get_mut(index) else { return Ok(()) };
        let (local, remote) = {
            let local = SocketAddr::new(self.settings.local, peer.local_port);
            (local, SocketAddr::new(self.settings.remote, peer.remote_port))
        };
        let mut live = Live {
            src: remote,
            dst: local,
            tos: match spec.ip.tos {
                Some(Tos::Ecn(bits) | Tos::Byte(bits)) => bits,
                Some(Tos::Ect01) | None => 0,
            },
            ttl: spec.ip.ttl.unwrap_or(64),
            flags: 0,
            seq: 0,
            ack: 0,
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
        };
        let packet = match &spec.body {
            Body::Tcp(tcp) => {
                peer.mapping.inbound(tcp, &mut live, scaled)?;
                let offset = peer.mapping.remote_offset(tcp.seq, tcp.flags & flag::SYN != 0);
                live.payload = stream_bytes(offset, tcp.len);
                self.trace.push(format!("{} < {}", seconds(self.now), shown(spec, tcp)));
                wire::segment(&live).ok_or("the TCP options take more than 40 bytes")?
            }
            Body::Icmp(icmp) => {
                self.trace.push(format!("{} < icmp {}", seconds(self.now), icmp.kind));
                (live.src, live.dst) = (local, remote);
                live.seq = peer.mapping.local_to_live(icmp.quoted.0);
                live.flags = flag::ACK;
                live.payload = stream_bytes(0, icmp.quoted.1);
                wire::icmp_error(icmp_error(icmp, self.settings.local.is_ipv4())?, &live)
                    .ok_or("the packet quoted cannot be written")?
            }
        };
        let now = Instant::from_nanos(self.now);
        self.stack()?.receive(now, &packet);
        Ok(())
    }

    fn outbound(&mut self, line: usize, spec: &PacketSpec, (from, to): (u64, u64)) -> Result<(), String> {
        let Body::Tcp(tcp) = &spec.body else {
            return Err("ICMP messages that the stack sends are not looked at".to_owned());
        };
        let wanted = shown(spec, tcp).to_string();
        while self.outbox.is_empty() {
            let next = self.stack.as_ref().and_then(Stack::next_deadline).map_or(u64::MAX, Instant::as_nanos);
            let next = next.max(self.now + 1);
            if next > to {
                return Err(format!(
                    "expected {wanted}\n  but nothing was sent until {}",
                    if to - self.now >= PATIENCE_NS { "for ever".to_owned() } else { seconds(to) }
                ));
            }
            // A timer that is due now fires within a tick.
            let step = if next <= self.now + 1 { self.now + TICK_NS } else { next };
            self.run_until(step).map_err(|t| t.message)?;
        }
        let Some((at, mut live)) = self.outbox.pop_front() else { return Ok(()) };
        let index = match spec.ports {
            Some(_) => self.peer_of(spec.ports, false),
            None => match self.current {
                Some(current) => current,
                None => self.add_peer(live.src.port(), live.dst.port()),
            },
        };
        if !self.settings.strict_segments {
            self.join(&mut live, at, tcp);
        }
        let Some(peer) = self.peers.get_mut(index) else { return Ok(()) };
        let ours = peer.is_of(&live);
        peer.mapping.outbound(&mut live, tcp);
        let mut wrong = differences(spec, tcp, &live, &peer.mapping, &self.settings);
        if !ours {
            wrong.push(format!("it is of another connection, {} > {}", live.src, live.dst));
        }
        let text = show(&live, spec.ports);
        self.trace.push(format!("{} > {text}   (line {line})", seconds(at)));
        if at < from || at > to {
            let range = format!("{} and {}", seconds(from), seconds(to));
            wrong.push(format!("it was sent at {}, not between {range}", seconds(at)));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("expected {wanted}\n     but got {text}\n     because {}", wrong.join("; ")))
    }

    /// A host that leaves segmentation to its device shows longer segments than the wire has: what was sent at
    /// once and follows on is taken together, up to the length expected.
    fn join(&mut self, live: &mut Live, at: u64, expected: &TcpSpec) {
        while (live.payload.len() as u64) < u64::from(expected.len) && !live.payload.is_empty() {
            let end = live.seq.wrapping_add(live.payload.len() as u32);
            match self.outbox.front() {
                Some((when, next))
                    if *when == at
                        && (next.src, next.dst, next.seq, next.ack)
                            == (live.src, live.dst, end, live.ack)
                        && !next.payload.is_empty() => {}
                _ => return,
            }
            let Some((_, next)) = self.outbox.pop_front() else { return };
            live.payload.extend(next.payload);
            live.flags |= next.flags;
            live.options = next.options;
            live.window = next.window;
        }
    }

    fn code(&mut self, line: usize, code: &str) -> Result<(), Trouble> {
        let info = self.current_info();
        let half_open = self.current_ends().is_some_and(|(local, remote)| {
            self.stack.as_ref().is_some_and(|stack| stack.is_half_open(local, remote))
        });
        let stack = self.stack.as_ref();
        let mut lookup = |name: &str| {
            if let Some(number) = symbols::number_of(name) {
                return Ok(number as f64);
            }
            let found = variables::tcp_info(name, half_open, info.as_ref());
            let found = if found == Err(Unknown::NoSuchName) {
                variables::own(name, stack, info.as_ref())
            } else {
                found
            };
            found.map_err(|unknown| match unknown {
                Unknown::NotKept => format!("`{name}` is not kept by this stack"),
                Unknown::NoSuchName => format!("`{name}` is not known"),
            })
        };
        assertion::check(line, code, &mut lookup)
    }

    fn current_ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.peers.get(self.current?).map(|peer| self.addresses(peer))
    }

    /// Of the connection whose packets need no ports.
    pub(crate) fn current_info(&self) -> Option<bypath::ConnectionInfo> {
        let (local, remote) = self.current_ends()?;
        self.stack.as_ref()?.tcp_info_at(local, remote)
    }
}

fn shown<'a>(spec: &PacketSpec, tcp: &'a TcpSpec) -> Shown<'a> {
    Shown {
        tos: spec.ip.tos,
        ports: spec.ports,
        flags: tcp.flags,
        seq: tcp.seq,
        len: tcp.len,
        ack: tcp.ack,
        window: tcp.window,
        urgent: tcp.urgent,
        options: tcp.options.as_deref(),
    }
}

/// A segment in script numbers.
fn show(live: &Live, ports: Option<(u16, u16)>) -> String {
    let shown = Shown {
        tos: Some(Tos::Byte(live.tos)),
        ports,
        flags: live.flags,
        seq: live.seq,
        len: u32::try_from(live.payload.len()).unwrap_or(u32::MAX),
        ack: live.ack,
        window: Some(live.window),
        urgent: live.urgent,
        options: Some(&live.options),
    };
    shown.to_string()
}

/// The numbers of an ICMP error in the family of the run.
fn icmp_error(spec: &IcmpSpec, v4: bool) -> Result<IcmpError, String> {
    let code = spec.code.as_deref().unwrap_or_default();
    let (kind, code) = match (v4, spec.kind.as_str(), code) {
        (true, "unreachable", "net_unreachable") => (3, 0),
        (true, "unreachable", "host_unreachable") => (3, 1),
        (true, "unreachable", "protocol_unreachable") => (3, 2),
        (_, "unreachable", "port_unreachable") => {
            if v4 {
                (3, 3)
            } else {
                (1, 4)
            }
        }
        (true, "unreachable", "frag_needed") => (3, 4),
        (true, "unreachable", "source_route_failed") => (3, 5),
        (true, "unreachable", "net_prohibited") => (3, 9),
        (true, "unreachable", "host_prohibited") => (3, 10),
        (true, "unreachable", "packet_filtered") => (3, 13),
        (true, "source_quench", "") => (4, 0),
        (_, "time_exceeded", "" | "ttl_exceeded" | "exceed_ttl") => {
            if v4 {
                (11, 0)
            } else {
                (3, 0)
            }
        }
        (true, "parameter_problem" | "parameterprob", "") => (12, 0),
        (false, "unreachable", "noroute" | "net_unreachable" | "no_route") => (1, 0),
        (false, "unreachable", "adm_prohibited" | "packet_filtered") => (1, 1),
        (false, "unreachable", "addr_unreachable" | "host_unreachable") => (1, 3),
        (false, "packet_too_big", "") | (false, "unreachable", "frag_needed") => (2, 0),
        _ => {
            let family = if v4 { "IPv4" } else { "IPv6" };
            return Err(format!("ICMP for {family} has no `{} {code}`", spec.kind));
        }
    };
    Ok(IcmpError { kind, code, mtu: spec.mtu.unwrap_or(0) })
}
