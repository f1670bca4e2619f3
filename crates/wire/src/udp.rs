//! The UDP header (RFC 768).

use crate::bytes::{get_u16, put_u16};
use crate::{Result, WireError};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum lies, in bytes from the start of the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header of 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Header and payload in bytes.
    pub len: u16,
    /// Checksum; 0 means that the sender made none, which IPv6 forbids (RFC 8200 §8.1). A computed 0 is
    /// sent as 0xffff, see [`stored_checksum`].
    pub checksum: u16,
}

impl UdpHeader {
    /// Reads a header; returns it with its length, 8. The payload is `datagram[8..len]`.
    ///
    /// # Errors
    /// [`WireError::BadLength`] when the stated length is below 8, [`WireError::Truncated`] when the
    /// datagram is shorter than that.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<(UdpHeader, usize)> {
        let head = datagram.first_chunk::<HEADER_LEN>().ok_or(WireError::Truncated)?;
        let header = UdpHeader {
            src_port: get_u16::<0, _>(head),
            dst_port: get_u16::<2, _>(head),
            len: get_u16::<4, _>(head),
            checksum: get_u16::<6, _>(head),
        };
        if usize::from(header.len) < HEADER_LEN {
            return Err(WireError::BadLength);
        }
        if datagram.len() < usize::from(header.len) {
            return Err(WireError::Truncated);
        }
        Ok((header, HEADER_LEN))
    }

    /// Writes the header, checksum as it stands; returns 8, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let Some(head) = out.first_chunk_mut::<HEADER_LEN>() else { return 0 };
        put_u16::<0, _>(head, self.src_port);
        put_u16::<2, _>(head, self.dst_port);
        put_u16::<4, _>(head, self.len);
        put_u16::<6, _>(head, self.checksum);
        HEADER_LEN
    }
}

/// The checksum field for a computed checksum: zero means "none", so it is written as its other form.
#[inline]
#[must_use]
pub const fn stored_checksum(computed: u16) -> u16 {
    if computed == 0 { 0xffff } else { computed }
}
