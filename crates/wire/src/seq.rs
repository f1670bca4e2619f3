//! TCP sequence numbers: points on a circle of 2^32, compared only by their distance (RFC 9293 §3.4).

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

/// A sequence or acknowledgment number. It has no `Ord` on purpose: order on a circle is not transitive,
/// and `<` on the raw integers is the classic bug. All order below holds for numbers less than 2^31 apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// The signed distance from `base` to `self` in octets; negative when `self` comes before `base`.
    #[inline]
    #[must_use]
    pub const fn offset_from(self, base: SeqNum) -> i32 {
        self.0.wrapping_sub(base.0).cast_signed()
    }

    /// `self` comes strictly before `other`.
    #[inline]
    #[must_use]
    pub const fn before(self, other: SeqNum) -> bool {
        self.offset_from(other) < 0
    }

    /// `self` comes strictly after `other`.
    #[inline]
    #[must_use]
    pub const fn after(self, other: SeqNum) -> bool {
        other.before(self)
    }

    /// `self` is `other` or comes before it.
    #[inline]
    #[must_use]
    pub const fn at_or_before(self, other: SeqNum) -> bool {
        !other.before(self)
    }

    /// `self` is `other` or comes after it.
    #[inline]
    #[must_use]
    pub const fn at_or_after(self, other: SeqNum) -> bool {
        !self.before(other)
    }

    /// `start <= self < start + len` on the circle. A window of zero length holds nothing.
    #[inline]
    #[must_use]
    pub const fn in_window(self, start: SeqNum, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// Whichever of the two comes first.
    #[inline]
    #[must_use]
    pub const fn earlier(self, other: SeqNum) -> SeqNum {
        if other.before(self) { other } else { self }
    }

    /// Whichever of the two comes last.
    #[inline]
    #[must_use]
    pub const fn later(self, other: SeqNum) -> SeqNum {
        if other.after(self) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, octets: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, octets: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(octets))
    }
}

impl SubAssign<u32> for SeqNum {
    #[inline]
    fn sub_assign(&mut self, octets: u32) {
        *self = *self - octets;
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::SeqNum;

    const NEAR_END: SeqNum = SeqNum(u32::MAX - 9);

    #[test]
    fn order_survives_the_wrap() {
        let past = NEAR_END + 20;
        assert_eq!(past, SeqNum(10));
        assert!(NEAR_END.before(past) && past.after(NEAR_END));
        assert!(NEAR_END.at_or_before(NEAR_END) && NEAR_END.at_or_after(NEAR_END));
        assert!(!NEAR_END.before(NEAR_END) && !NEAR_END.after(NEAR_END));
        assert_eq!(past.offset_from(NEAR_END), 20);
        assert_eq!(NEAR_END.offset_from(past), -20);
        assert_eq!((past - 20, past.earlier(NEAR_END), past.later(NEAR_END)), (NEAR_END, NEAR_END, past));
    }

    #[test]
    fn a_window_holds_its_first_octet_and_not_the_one_past_its_end() {
        assert!(NEAR_END.in_window(NEAR_END, 20));
        assert!((NEAR_END + 19).in_window(NEAR_END, 20));
        assert!(!(NEAR_END + 20).in_window(NEAR_END, 20));
        assert!(!(NEAR_END - 1).in_window(NEAR_END, 20));
        assert!(!NEAR_END.in_window(NEAR_END, 0));
    }
}
