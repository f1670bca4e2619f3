//! Explicit congestion notification: what routers say in the IP header instead of dropping (RFC 3168).

/// The two ECN bits of an IP header (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not take part: a router can only drop.
    #[default]
    NotEct = 0,
    /// The sender takes part (and, by RFC 9331, wants the low-latency treatment).
    Ect1 = 1,
    /// The sender takes part.
    Ect0 = 2,
    /// Congestion was experienced on the way.
    Ce = 3,
}

impl Ecn {
    /// From the low two bits of a traffic class; the others do not count.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// As they lie in the traffic class.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
