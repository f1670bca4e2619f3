//! The receive window: what is advertised, and when a change is worth a segment (RFC 9293 section 3.8.6.2).

use crate::connection::{Bits, Connection};
use crate::state::State;

impl Connection {
    /// The receive buffer has room for `bytes` from the next expected byte on. Schedules a window update
    /// if the peer would otherwise wait for one. No more than [`Connection::receive_buffer`] is used of it.
    pub fn set_receive_space(&mut self, bytes: u32) {
        self.set_receive_space_of(bytes, self.cold.tuner.buffer);
    }

    /// The same of a buffer of `size` bytes, which may be less than the connection wishes for: what is worth an
    /// update of the window is measured by what there is.
    pub fn set_receive_space_of(&mut self, bytes: u32, size: u32) {
        let buffer = self.cold.tuner.buffer.min(size);
        self.cold.tuner.present = buffer;
        let before = self.hot.rcv_space;
        self.hot.rcv_space = bytes.min(buffer);
        let grown = self.hot.rcv_space > before;
        if !self.hot.state.may_receive() || self.copies_are_counted() {
            return;
        }
        let open = self.advertised();
        let gain = self.space_to_offer().saturating_sub(open);
        let mss = self.hot.window.mss;
        // While data flows its acknowledgements carry the window. A segment of its own is for a peer that
        // has been, or soon will be, stopped by the window.
        let stopped = open < 2 * mss && gain >= (2 * mss).min(buffer / 2);
        // What a SYN had no field for is no news: it goes along with the first acknowledgement of data, as Linux has it.
        if stopped || (grown && gain >= buffer / 2) {
            self.hot.bits.set(Bits::ACK_NOW);
        }
    }

    /// A peer without SACK finds a hole by acknowledgements that are the same, window and all (RFC 5681 section 2):
    /// while there is one, the edge stays where it is.
    fn copies_are_counted(&self) -> bool {
        self.hot.bits.has(Bits::HOLES) && !self.hot.bits.has(Bits::SACK)
    }

    /// What of the advertised window is left.
    pub(crate) fn advertised(&self) -> u32 {
        u32::try_from(self.hot.rcv_edge.offset_from(self.hot.rcv_nxt)).unwrap_or(0)
    }

    /// Room as the window field can say it: the rounding of the scale must not promise what is not there.
    fn space_to_offer(&self) -> u32 {
        let shift = self.hot.rcv_scale;
        let most = u32::from(u16::MAX) << shift;
        (self.hot.rcv_space.min(most) >> shift) << shift
    }

    /// The window field for a segment that goes out now. Moves the right edge forward if that is worth it
    /// to the peer, never back (RFC 9293 SHLD-14).
    pub(crate) fn window_field(&mut self, syn: bool) -> u16 {
        if syn {
            let window = self.hot.rcv_space.min(u32::from(u16::MAX));
            self.hot.rcv_edge = self.hot.rcv_edge.later(self.hot.rcv_nxt + window);
            return u16::try_from(window).unwrap_or(u16::MAX);
        }
        if self.hot.state == State::SynSent {
            return 0;
        }
        let open = self.advertised();
        let offer = self.space_to_offer();
        let worth = self.hot.window.mss.min(self.cold.tuner.present / 2);
        let shift = self.hot.rcv_scale;
        if offer > open && offer - open >= worth && !self.copies_are_counted() {
            self.hot.rcv_edge = self.hot.rcv_nxt + offer;
            return u16::try_from(offer >> shift).unwrap_or(u16::MAX);
        }
        // The old edge is seldom a whole number of units away from the new `rcv_nxt`. It is told rounded up,
        // if there is room for that; else rounded down, by less than one unit, and what was told before is
        // still honoured (RFC 7323 section 2.4).
        let up = open.div_ceil(1 << shift).min(u32::from(u16::MAX));
        let field = if up << shift <= self.hot.rcv_space.max(open) { up } else { open >> shift };
        self.hot.rcv_edge = self.hot.rcv_edge.later(self.hot.rcv_nxt + (field << shift));
        u16::try_from(field).unwrap_or(u16::MAX)
    }
}
