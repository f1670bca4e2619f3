//! The states of RFC 9293 section 3.3.2. LISTEN and CLOSED-before-open have no connection here: a
//! listener is a port that calls [`Connection::accept`](crate::Connection::accept).

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// SYN sent, waiting for the peer's.
    SynSent,
    /// SYN received and answered, waiting for its acknowledgement.
    SynReceived,
    /// Open both ways.
    Established,
    /// The peer has closed its direction; ours is open.
    CloseWait,
    /// We have closed our direction; the peer has not acknowledged it.
    FinWait1,
    /// Our direction is closed and acknowledged; the peer's is open.
    FinWait2,
    /// Both have sent FIN, ours is not acknowledged.
    Closing,
    /// The peer closed first, then we; our FIN is not acknowledged.
    LastAck,
    /// Both directions closed; old duplicates are waited out.
    TimeWait,
    /// No connection.
    Closed,
}

impl State {
    /// Whether both SYNs have been seen and acknowledged.
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynReceived | Self::Closed)
    }

    /// Whether the application may still give bytes to send.
    pub const fn may_send(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait)
    }

    /// Whether the peer may still send bytes.
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }
}
