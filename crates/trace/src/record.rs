//! One packet of a capture, before anybody has looked into it.

/// When a packet was captured: nanoseconds since the Unix epoch. Times before it, and times that go backwards, are
/// what a capture says and are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, and the nanoseconds after them (0 to 999,999,999).
    #[must_use]
    pub fn parts(self) -> (i64, u32) {
        let nanos = self.0.rem_euclid(1_000_000_000);
        // Less than a thousand million after the remainder.
        (self.0.div_euclid(1_000_000_000), nanos as u32)
    }

    /// Nanoseconds from `earlier` to this, negative if this is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which way a packet went, where the capture says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received by the capturing host.
    In,
    /// Sent by it.
    Out,
}

/// The link type of a capture's packets: the numbers of pcap's LINKTYPE registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: four bytes of address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP with or without HDLC-like framing bytes.
    pub const PPP: Self = Self(9);
    /// PPP, always with HDLC-like framing bytes.
    pub const PPP_HDLC: Self = Self(50);
    /// IPv4 or IPv6 without a link header.
    pub const RAW: Self = Self(101);
    /// The Linux "cooked" header of 16 bytes.
    pub const LINUX_SLL: Self = Self(113);
    /// PPP after one byte that tells the direction: 0 received, else sent.
    pub const PPP_WITH_DIRECTION: Self = Self(204);
    /// IPv4 without a link header.
    pub const IPV4: Self = Self(228);
    /// IPv6 without a link header.
    pub const IPV6: Self = Self(229);
    /// The Linux "cooked" header of 20 bytes.
    pub const LINUX_SLL2: Self = Self(276);
}

/// What an XDP program returns: the kernel's `XDP_…` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum XdpAction {
    /// The program has failed.
    Aborted = 0,
    /// Nobody gets it.
    Drop = 1,
    /// The kernel gets it.
    Pass = 2,
    /// Back out of the interface that it came by.
    Tx = 3,
    /// To another interface, CPU, or AF_XDP socket.
    Redirect = 4,
}

impl XdpAction {
    /// The action of this number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Aborted, Self::Drop, Self::Pass, Self::Tx, Self::Redirect]
            .into_iter()
            .find(|action| *action as u64 == number)
    }
}

/// One packet of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the capture, from 1.
    pub number: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// What its bytes begin with.
    pub link: LinkType,
    /// Which of the capture's interfaces it was seen on, from 0, where the format tells.
    pub interface: Option<u32>,
    /// Which way it went, where the format tells.
    pub direction: Option<Direction>,
    /// The queue of the interface that it came on or left by, where the format tells.
    pub queue: Option<u32>,
    /// Packets that are missing between the one before and this, as far as the format tells.
    pub missed_before: u64,
    /// What an XDP program has decided about it, where the format tells.
    pub verdict: Option<XdpAction>,
    /// Its length on the wire, bytes; `data` is shorter where the capture has cut it.
    pub original_len: u32,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// Comments that the capture has on it.
    pub comments: &'a [String],
}

impl Record<'_> {
    /// Bytes of the packet that the capture does not have.
    #[must_use]
    pub fn missing(&self) -> usize {
        (self.original_len as usize).saturating_sub(self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_epoch_has_parts_that_add_up() {
        let time = Timestamp(-1);
        assert_eq!(time.parts(), (-1, 999_999_999));
        assert_eq!(Timestamp(5).since(time), 6);
    }
}
