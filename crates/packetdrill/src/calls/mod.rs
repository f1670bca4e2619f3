//! System calls on the sockets of the stack: which call, what it returns, and calls that block until something happens.
//!
//! The stack's own sockets never block and tell an error for as long as one asks; the habits of Linux above them, such as that an
//! error is told once and is the end of the stream afterwards, are here.

mod opening;
mod options;
mod polling;
mod transfer;

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};

use bypath::by_hand::{TcpPort, TcpSocket};

use self::opening::port_of;
use crate::failure::Trouble;
use crate::runner::Runner;
use crate::script::{Call, Value};
use crate::symbols::{self, number};

/// MSG_FASTOPEN.
const FAST_OPEN: i64 = 0x2000_0000;

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Neither listening nor connected.
    Fresh,
    Listener(TcpPort),
    /// Connected, or on the way there, or over.
    Connection(TcpSocket),
}

/// A descriptor of the script.
#[derive(Debug)]
pub(crate) struct Descriptor {
    kind: Kind,
    nonblocking: bool,
    bound: Option<u16>,
    /// Closing resets.
    abortive: bool,
    shut_reading: bool,
    /// An error has been told; what follows is the end.
    told: bool,
    /// connect() has said that the connection is open.
    connected: bool,
    read: u32,
    written: u32,
    /// Connections that a listener takes data from before their handshake is complete.
    fast_open: usize,
    /// Accepted when poll() looked, and not yet by the script.
    waiting: VecDeque<TcpSocket>,
}

impl Descriptor {
    fn new(kind: Kind, nonblocking: bool) -> Self {
        Self {
            kind,
            nonblocking,
            bound: None,
            abortive: false,
            shut_reading: false,
            told: false,
            connected: false,
            read: 0,
            written: 0,
            fast_open: 0,
            waiting: VecDeque::new(),
        }
    }
}

/// All of them, by the script's numbers.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    open: HashMap<i64, Descriptor>,
    connects: u16,
}

/// A call that blocks.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) line: usize,
    /// When it must return.
    pub(crate) end: u64,
    operation: Operation,
    call: Call,
}

/// A call that may block.
#[derive(Clone, Debug)]
enum Operation {
    Read {
        fd: i64,
        len: usize,
        all: bool,
        done: i64,
    },
    Write {
        fd: i64,
        len: usize,
        done: i64,
    },
    /// With the number that the script gives the new descriptor.
    Accept {
        fd: i64,
        name: i64,
    },
    Connect {
        fd: i64,
    },
    Poll {
        descriptors: Vec<Value>,
        until: Option<u64>,
    },
}

/// What a call returns: a number, or -1 and why.
type Returned = Result<i64, String>;

fn errno(error: &io::Error) -> String {
    let name = match error.kind() {
        ErrorKind::ConnectionRefused => "ECONNREFUSED",
        ErrorKind::ConnectionReset => "ECONNRESET",
        ErrorKind::ConnectionAborted => "ECONNABORTED",
        ErrorKind::TimedOut => "ETIMEDOUT",
        ErrorKind::HostUnreachable => "EHOSTUNREACH",
        ErrorKind::NetworkUnreachable => "ENETUNREACH",
        ErrorKind::BrokenPipe => "EPIPE",
        ErrorKind::NotConnected => "ENOTCONN",
        ErrorKind::AddrInUse => "EADDRINUSE",
        ErrorKind::WouldBlock => "EAGAIN",
        _ => return format!("an error without a number: {error}"),
    };
    name.to_owned()
}

impl Runner {
    /// Makes the call of a script. `base` is the moment that the end of a blocking call counts from.
    pub(crate) fn call(&mut self, line: usize, call: &Call, base: u64) -> Result<(), Trouble> {
        let at_line = |message: String| Trouble::new(line, message);
        if let Some(pending) = &self.pending {
            let message = format!("the call of line {} has not returned yet", pending.line);
            return Err(at_line(message));
        }
        let operation = match self.begin(line, call).map_err(at_line)? {
            Begun::Done(returned) => return self.verify(call, returned).map_err(at_line),
            Begun::Maybe(operation) => operation,
        };
        let mut operation = operation;
        if let Some(returned) = self.attempt(&mut operation).map_err(at_line)? {
            let end =
                call.end.map(|end| base + end).filter(|end| *end > self.now + self.settings.tolerance_ns);
            if end.is_some() {
                return Err(at_line(format!("{} returned at once: {}", call.name, told(&returned))));
            }
            return self.verify(call, returned).map_err(at_line);
        }
        if let Some(end) = call.end {
            self.pending = Some(Pending { line, end: base + end, operation, call: call.clone() });
            return Ok(());
        }
        match self.would_block(&operation) {
            Some(errno) => self.verify(call, Err(errno.to_owned())).map_err(at_line),
            None => Err(at_line(format!("{} blocks", call.name))),
        }
    }

    /// What a call that cannot go on returns at once, if its socket does not block.
    fn would_block(&self, operation: &Operation) -> Option<&'static str> {
        let (fd, errno) = match operation {
            Operation::Connect { fd } => (fd, "EINPROGRESS"),
            Operation::Read { fd, .. } | Operation::Write { fd, .. } | Operation::Accept { fd, .. } => {
                (fd, "EAGAIN")
            }
            Operation::Poll { .. } => return None,
        };
        self.descriptors.open.get(fd)?.nonblocking.then_some(errno)
    }

    /// Tries the call that blocks once more.
    pub(crate) fn resume(&mut self) -> Result<(), Trouble> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let line = pending.line;
        let at_line = |message: String| Trouble::new(line, message);
        match self.attempt(&mut pending.operation).map_err(at_line)? {
            Some(returned) => {
                let off = pending.end.abs_diff(self.now);
                if off > self.settings.tolerance_ns {
                    let (end, now) = (crate::show::seconds(pending.end), crate::show::seconds(self.now));
                    return Err(at_line(format!(
                        "{} returned at {now}, not at {end}: {}",
                        pending.call.name,
                        told(&returned)
                    )));
                }
                self.say(format!("{} of line {line} returns {}", pending.call.name, told(&returned)));
                self.verify(&pending.call, returned).map_err(at_line)
            }
            None if self.now > pending.end.saturating_add(self.settings.tolerance_ns) => {
                Err(at_line(format!("{} has not returned", pending.call.name)))
            }
            None => {
                self.pending = Some(pending);
                Ok(())
            }
        }
    }

    fn verify(&mut self, call: &Call, returned: Returned) -> Result<(), String> {
        let same = match (&call.result, &returned) {
            (Value::Any, _) => return Ok(()),
            (wanted, Ok(value)) => number(wanted) == Some(*value),
            (wanted, Err(errno)) => {
                number(wanted) == Some(-1) && call.errno.as_ref().is_none_or(|wanted| wanted == errno)
            }
        };
        if same {
            return Ok(());
        }
        let wanted = match (&call.result, &call.errno) {
            (result, None) => number(result).map_or_else(|| "something else".to_owned(), |n| n.to_string()),
            (_, Some(errno)) => format!("-1 {errno}"),
        };
        Err(format!("{} returned {}, not {wanted}", call.name, told(&returned)))
    }

    fn descriptor(&mut self, fd: i64) -> Result<&mut Descriptor, String> {
        self.descriptors.open.get_mut(&fd).ok_or_else(|| format!("the script has no descriptor {fd}"))
    }

    fn connection(&mut self, fd: i64) -> Result<Option<TcpSocket>, String> {
        Ok(match self.descriptor(fd)?.kind {
            Kind::Connection(socket) => Some(socket),
            Kind::Fresh | Kind::Listener(_) => None,
        })
    }

    fn add_descriptor(&mut self, call: &Call, kind: Kind, nonblocking: bool) -> Result<i64, String> {
        let Some(fd) = number(&call.result) else {
            return Err("the number of the new descriptor must be written".to_owned());
        };
        if fd < 0 {
            return Err(format!("{} succeeded", call.name));
        }
        if self.descriptors.open.contains_key(&fd) {
            return Err(format!("the descriptor {fd} is in use"));
        }
        self.descriptors.open.insert(fd, Descriptor::new(kind, nonblocking));
        Ok(fd)
    }

    fn begin(&mut self, line: usize, call: &Call) -> Result<Begun, String> {
        let arguments = &call.arguments;
        let argument = |index: usize| {
            let found = arguments.get(index).and_then(number);
            found.ok_or_else(|| format!("argument {} of {} is no number that is known", index + 1, call.name))
        };
        let flags = |index: usize| if arguments.len() > index { argument(index) } else { Ok(0) };
        let length = |index: usize| usize::try_from(argument(index)?).map_err(|e| e.to_string());
        let dont_wait = |index: usize| Ok::<_, String>(flags(index)? & 0x40 != 0);
        let done = |returned: Returned| Ok(Begun::Done(returned));
        match call.name.as_str() {
            "socket" => {
                let kind = argument(1)?;
                if kind & 0xf != 1 {
                    return Err("only SOCK_STREAM sockets are spoken here".to_owned());
                }
                let fd = self.add_descriptor(
                    call,
                    Kind::Fresh,
                    kind & symbols::number_of("SOCK_NONBLOCK").unwrap_or(0) != 0,
                )?;
                done(Ok(fd))
            }
            "bind" => {
                let port = port_of(arguments.get(1)).unwrap_or(self.settings.bind_port);
                self.descriptor(argument(0)?)?.bound = Some(port);
                done(Ok(0))
            }
            "listen" => done(self.listen(argument(0)?, length(1)?)),
            "accept" | "accept4" => {
                let name = number(&call.result).ok_or("the number of the new descriptor must be written")?;
                Ok(Begun::Maybe(Operation::Accept { fd: argument(0)?, name }))
            }
            "connect" => self.connect(argument(0)?, port_of(arguments.get(1)), None),
            "read" => {
                Ok(Begun::Maybe(Operation::Read { fd: argument(0)?, len: length(2)?, all: false, done: 0 }))
            }
            "recv" | "recvfrom" => {
                let (fd, flags) = (argument(0)?, flags(3)?);
                known_flags(flags, 0x40 | 0x100 | 0x4000)?;
                let operation = Operation::Read { fd, len: length(2)?, all: flags & 0x100 != 0, done: 0 };
                self.at_once_if(dont_wait(3)?, operation)
            }
            "write" => Ok(Begun::Maybe(Operation::Write { fd: argument(0)?, len: length(2)?, done: 0 })),
            "send" | "sendto" => {
                let (fd, flags) = (argument(0)?, flags(3)?);
                known_flags(flags, 0x40 | 0x4000 | FAST_OPEN)?;
                if flags & FAST_OPEN != 0 && self.descriptor(fd)?.kind == Kind::Fresh {
                    return self.connect(fd, port_of(arguments.get(4)), Some(length(2)?));
                }
                let operation = Operation::Write { fd, len: length(2)?, done: 0 };
                self.at_once_if(dont_wait(3)?, operation)
            }
            "shutdown" => done(self.shutdown(argument(0)?, argument(1)?)?),
            "close" => done(self.close(argument(0)?)),
            "setsockopt" => done(self.set_option(line, call)?),
            "getsockopt" => done(self.get_option(call)?),
            "fcntl" => {
                let descriptor = self.descriptor(argument(0)?)?;
                let nonblock = symbols::number_of("O_NONBLOCK").unwrap_or(0);
                match argument(1)? {
                    3 => done(Ok(2 | if descriptor.nonblocking { nonblock } else { 0 })),
                    4 => {
                        descriptor.nonblocking = argument(2)? & nonblock != 0;
                        done(Ok(0))
                    }
                    other => Err(format!("fcntl with the command {other} is not known")),
                }
            }
            "ioctl" => done(self.ioctl(argument(0)?, argument(1)?, arguments.get(2))?),
            "poll" => {
                let Some(Value::List(descriptors)) = arguments.first() else {
                    return Err("poll wants a list of descriptors".to_owned());
                };
                let timeout = argument(2)?;
                let until = u64::try_from(timeout).ok().map(|ms| self.now + ms * 1_000_000);
                Ok(Begun::Maybe(Operation::Poll { descriptors: descriptors.clone(), until }))
            }
            other => Err(format!("the system call `{other}` is not known")),
        }
    }

    /// MSG_DONTWAIT: as if the socket did not block.
    fn at_once_if(&mut self, at_once: bool, mut operation: Operation) -> Result<Begun, String> {
        if !at_once {
            return Ok(Begun::Maybe(operation));
        }
        let returned = self.attempt(&mut operation)?;
        Ok(Begun::Done(returned.unwrap_or_else(|| Err("EAGAIN".to_owned()))))
    }

    fn attempt(&mut self, operation: &mut Operation) -> Result<Option<Returned>, String> {
        match operation {
            Operation::Read { fd, len, all, done } => self.read(*fd, *len, *all, done),
            Operation::Write { fd, len, done } => self.write(*fd, *len, done),
            Operation::Accept { fd, name } => self.accept(*fd, *name),
            Operation::Connect { fd } => self.is_connected(*fd),
            Operation::Poll { descriptors, until } => self.poll(descriptors, *until),
        }
    }
}

/// How far a call has come when it begins.
enum Begun {
    /// It never blocks.
    Done(Returned),
    /// It may block.
    Maybe(Operation),
}

fn told(returned: &Returned) -> String {
    match returned {
        Ok(value) => value.to_string(),
        Err(errno) => format!("-1 {errno}"),
    }
}

/// Fails for flags that nobody here looks at.
fn known_flags(flags: i64, known: i64) -> Result<(), String> {
    match flags & !known {
        0 => Ok(()),
        other => Err(format!("the flags {other:#x} of the call are not known")),
    }
}
