//! A script as it was read: events with their times.

/// A script.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub(crate) file: String,
    pub(crate) options: Vec<ScriptOption>,
    pub(crate) events: Vec<Event>,
    pub(crate) last_line: usize,
}

impl Script {
    /// The value of an option line, `--name=value`; an option without one has the empty value.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|o| o.name == name).map(|o| o.value.as_str())
    }
}

/// `--name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptOption {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Something that happens, or must happen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) line: usize,
    pub(crate) time: Time,
    pub(crate) action: Action,
}

/// When, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// Since the script began.
    Absolute(u64),
    /// Since the last event.
    Relative(u64),
    /// Between two times since the script began.
    AbsoluteRange(u64, u64),
    /// Between two times since the last event.
    RelativeRange(u64, u64),
    /// `*`: whenever it comes.
    Any,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// `<`
    Inbound(PacketSpec),
    /// `>`
    Outbound(PacketSpec),
    Call(Call),
    /// Between backquotes.
    Command(String),
    /// Between `%{` and `}%`.
    Code(String),
}

/// A packet of a script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PacketSpec {
    pub(crate) ip: IpSpec,
    /// Source and destination port, if the script says.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) body: Body,
}

/// What a script says of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpSpec {
    pub(crate) tos: Option<Tos>,
    pub(crate) ttl: Option<u8>,
}

/// The byte that once was the type of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tos {
    /// The two bits of ECN.
    Ecn(u8),
    /// Either of the two codes for a transport that knows ECN.
    Ect01,
    /// The whole byte.
    Byte(u8),
}

/// What the IP header carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Tcp(TcpSpec),
    Icmp(IcmpSpec),
}

/// Bits of the TCP header, in its own order.
pub(crate) mod flag {
    pub(crate) const FIN: u16 = 0x001;
    pub(crate) const SYN: u16 = 0x002;
    pub(crate) const RST: u16 = 0x004;
    pub(crate) const PSH: u16 = 0x008;
    pub(crate) const ACK: u16 = 0x010;
    pub(crate) const URG: u16 = 0x020;
    pub(crate) const ECE: u16 = 0x040;
    pub(crate) const CWR: u16 = 0x080;
    pub(crate) const AE: u16 = 0x100;
}

/// A segment, in the script's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpSpec {
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: u32,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: u16,
    /// `None`: `<...>`, any.
    pub(crate) options: Option<Vec<TcpOption>>,
}

/// A TCP option. Sequence numbers are the script's, or the wire's, by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption {
    Eol,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackOk,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    Md5(Vec<u8>),
    FastOpen(Vec<u8>),
    FastOpenExp(Vec<u8>),
    /// AccECN (RFC 9768 section 3.2.3): counters in the order of the option, 24 bits each; `true`: the kind
    /// whose first counter is of ECT(1).
    AccEcn(bool, Vec<u32>),
    /// Any other, with its bytes after the length.
    Other(u8, Vec<u8>),
    /// Bytes as they are, whatever they mean.
    Raw(Vec<u8>),
    /// `...` among others: whatever stands here, to the end.
    Rest,
}

/// An ICMP error, for a segment of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpSpec {
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) mtu: Option<u32>,
    /// First sequence number and length of the segment quoted.
    pub(crate) quoted: (u32, u32),
}

/// A system call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// When a blocking call returns, nanoseconds, counted as the time of the event is.
    pub(crate) end: Option<u64>,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Value>,
    pub(crate) result: Value,
    pub(crate) errno: Option<String>,
}

/// An argument or result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `...`
    Any,
    Number(i64),
    Word(String),
    Text(String),
    List(Vec<Value>),
    Record(Vec<(String, Value)>),
    /// `a|b`
    Or(Box<Value>, Box<Value>),
    /// `f(x)` in a value: `htons(80)`.
    Apply(String, Vec<Value>),
}
