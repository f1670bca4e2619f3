//! What goes wrong with connections and requests, told apart by cause.

use bypath::CloseReason;

/// Why a connection or a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cause {
    /// The peer answered SYN with RST.
    Refused,
    /// Nobody answered SYN.
    ConnectTimeout,
    /// The network says that the peer cannot be reached, or there is no route.
    Unreachable,
    /// No local port is free for this peer.
    PortsExhausted,
    /// No room for another connection.
    NoRoom,
    /// The peer reset an open connection.
    Reset,
    /// The peer closed before it had answered.
    ClosedEarly,
    /// The peer fell silent: TCP gave the connection up.
    PeerGone,
    /// No answer, or no progress, for as long as `--timeout` says.
    Stalled,
    /// Bytes that are not what they should be.
    WrongContent,
    /// Bytes that are not of the protocol.
    Malformed,
    /// Fewer bytes than announced.
    Truncated,
    /// HTTP status 400 to 499.
    Status4xx,
    /// HTTP status 500 and above.
    Status5xx,
    /// HTTP status other than 2xx that is no error, such as a redirect.
    StatusOther,
    /// An FTP reply that refuses.
    FtpRefused,
    /// Files could not be written.
    SinkFailed,
}

impl Cause {
    /// How many there are.
    pub(super) const COUNT: usize = 17;

    /// All of them, by their number.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::PortsExhausted,
        Self::NoRoom,
        Self::Reset,
        Self::ClosedEarly,
        Self::PeerGone,
        Self::Stalled,
        Self::WrongContent,
        Self::Malformed,
        Self::Truncated,
        Self::Status4xx,
        Self::Status5xx,
        Self::StatusOther,
        Self::FtpRefused,
        Self::SinkFailed,
    ];

    /// Its name in results.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::PortsExhausted => "ports_exhausted",
            Self::NoRoom => "too_many_connections",
            Self::Reset => "reset_by_peer",
            Self::ClosedEarly => "closed_early",
            Self::PeerGone => "peer_gone",
            Self::Stalled => "stalled",
            Self::WrongContent => "wrong_content",
            Self::Malformed => "malformed_answer",
            Self::Truncated => "truncated",
            Self::Status4xx => "http_4xx",
            Self::Status5xx => "http_5xx",
            Self::StatusOther => "http_other",
            Self::FtpRefused => "ftp_refused",
            Self::SinkFailed => "sink_failed",
        }
    }

    /// What to tell the user of a run in which nothing else happened.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Refused => "nobody listens there: start the server, or check the port",
            Self::ConnectTimeout => "nothing answers there: check the address, and filters on the way",
            Self::Unreachable => {
                "there is no way to that address: check --dev, --ip, --gateway and the cable"
            }
            Self::PortsExhausted => {
                "every local port is in use: give more addresses with --local-ips, or fewer connections"
            }
            Self::NoRoom => "the engine has no room for so many connections: give fewer with -c",
            Self::Reset => "the server resets connections: see its log and its limits",
            Self::ClosedEarly => "the server closes before it answers: is it one for this pattern?",
            Self::PeerGone => "the server has fallen silent",
            Self::Stalled => "the server does not answer within --timeout",
            Self::WrongContent => {
                "what came back is not what was asked for: is it a server for this pattern?"
            }
            Self::Malformed => "the server speaks another protocol than this pattern",
            Self::Truncated => "the server sends less than it announces",
            Self::Status4xx | Self::Status5xx | Self::StatusOther => "see the URL and the server's log",
            Self::FtpRefused => "the FTP server refuses: see the path and --user",
            Self::SinkFailed => "the received files could not be written: see --sink, and the room there",
        }
    }

    /// Why an open connection ended; `None`: as it should.
    pub(super) fn of_open(reason: CloseReason) -> Option<Self> {
        match reason {
            CloseReason::Finished | CloseReason::Aborted => None,
            CloseReason::Refused | CloseReason::Reset => Some(Self::Reset),
            CloseReason::TimedOut => Some(Self::PeerGone),
            CloseReason::Unreachable => Some(Self::Unreachable),
        }
    }

    /// Why a connection never opened.
    pub(super) fn of_opening(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Refused | CloseReason::Reset | CloseReason::Finished => Self::Refused,
            CloseReason::TimedOut | CloseReason::Aborted => Self::ConnectTimeout,
            CloseReason::Unreachable => Self::Unreachable,
        }
    }
}

/// Of each cause, the first code that a server gave for it: an HTTP status, the code of an FTP reply. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codes([u16; Cause::COUNT]);

impl Codes {
    /// Keeps the code, if it is the first.
    pub(super) fn note(&mut self, cause: Cause, code: u16) {
        let first = &mut self.0[cause as usize];
        if *first == 0 {
            *first = code;
        }
    }

    /// Adds those that came later.
    pub(super) fn merge(&mut self, later: Self) {
        for (cause, code) in Cause::ALL.iter().zip(later.0) {
            self.note(*cause, code);
        }
    }

    /// What the server said.
    pub(super) fn of(self, cause: Cause) -> Option<u16> {
        Some(self.0[cause as usize]).filter(|code| *code > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_own_number_and_has_its_own_name() {
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
        }
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::COUNT);
    }

    #[test]
    fn the_first_code_of_each_cause_is_kept() {
        let mut codes = Codes::default();
        codes.note(Cause::Status4xx, 404);
        codes.note(Cause::Status4xx, 405);
        let mut later = Codes::default();
        later.note(Cause::Status4xx, 403);
        later.note(Cause::FtpRefused, 550);
        codes.merge(later);
        let told = [Cause::Status4xx, Cause::FtpRefused, Cause::Status5xx].map(|cause| codes.of(cause));
        assert_eq!(told, [Some(404), Some(550), None]);
    }
}
