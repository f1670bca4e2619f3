//! Packets as scripts write them.

use crate::script::{TcpOption, Tos, flag};

/// A segment in script numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown<'a> {
    pub(crate) tos: Option<Tos>,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: u32,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: u16,
    pub(crate) options: Option<&'a [TcpOption]>,
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tos {
            None | Some(Tos::Ecn(0) | Tos::Byte(0)) => {}
            Some(Tos::Ecn(bits)) => {
                write!(f, "[{}] ", ["noecn", "ect1", "ect0", "ce"][usize::from(bits & 3)])?;
            }
            Some(Tos::Ect01) => f.write_str("[ect01] ")?,
            Some(Tos::Byte(tos)) if tos < 4 => {
                write!(f, "[{}] ", ["noecn", "ect1", "ect0", "ce"][usize::from(tos)])?;
            }
            Some(Tos::Byte(tos)) => write!(f, "[tos {tos:#04x}] ")?,
        }
        if let Some((src, dst)) = self.ports {
            write!(f, "{src} > {dst} ")?;
        }
        let end = self.seq.wrapping_add(self.len);
        write!(f, "{} {}:{end}({})", flags(self.flags), self.seq, self.len)?;
        if self.flags & flag::ACK != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match self.options {
            None => f.write_str(" <...>"),
            Some([]) => Ok(()),
            Some(options) => {
                let all: Vec<String> = options.iter().map(option).collect();
                write!(f, " <{}>", all.join(","))
            }
        }
    }
}

fn flags(flags: u16) -> String {
    let names = [
        (flag::FIN, 'F'),
        (flag::SYN, 'S'),
        (flag::RST, 'R'),
        (flag::PSH, 'P'),
        (flag::URG, 'U'),
        (flag::ECE, 'E'),
        (flag::CWR, 'W'),
        (flag::AE, 'A'),
        (flag::ACK, '.'),
    ];
    let text: String = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| name).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn option(option: &TcpOption) -> String {
    match option {
        TcpOption::Eol => "eol".to_owned(),
        TcpOption::Nop => "nop".to_owned(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::WindowScale(shift) => format!("wscale {shift}"),
        TcpOption::SackOk => "sackOK".to_owned(),
        TcpOption::Sack(blocks) => {
            let blocks: Vec<String> = blocks.iter().map(|(left, right)| format!(" {left}:{right}")).collect();
            format!("sack{}", blocks.concat())
        }
        TcpOption::Timestamps { value, echo } => format!("TS val {value} ecr {echo}"),
        TcpOption::Md5(digest) => format!("md5 {}", hex(digest)),
        TcpOption::FastOpen(cookie) => format!("FO {}", hex(cookie)).trim_end().to_owned(),
        TcpOption::FastOpenExp(cookie) => format!("FOEXP {}", hex(cookie)).trim_end().to_owned(),
        TcpOption::AccEcn(ect1_first, counters) => {
            let names = if *ect1_first { ["e1b", "ceb", "e0b"] } else { ["e0b", "ceb", "e1b"] };
            let counters: Vec<String> =
                names.iter().zip(counters).map(|(n, c)| format!(" {n} {c}")).collect();
            format!("ECN{}", counters.concat())
        }
        TcpOption::Other(kind, body) => format!("option {kind} {}", hex(body)).trim_end().to_owned(),
        TcpOption::Raw(bytes) => format!("raw {}", hex(bytes)),
        TcpOption::Rest => "...".to_owned(),
    }
}

/// A time, in seconds.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000)
}
