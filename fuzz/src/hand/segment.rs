//! Segments of the peer: those of one that behaves, and those that the tape puts together field by field, each
//! field near something that matters or anywhere.

use bypath_wire::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader};

use super::World;
use super::flow::peer_byte;
use crate::packets;
use crate::tape::Tape;

const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
const LENGTHS: [usize; 10] = [0, 1, 2, 10, 100, 536, 1_000, 1_400, 1_460, 8_900];
const WINDOWS: [u16; 8] = [65_535, 0, 1, 100, 1_460, 8_192, 501, 32_768];

impl World {
    /// What the peer at the other end of slot `index` would do next if it meant well.
    pub(super) fn behaves(&mut self, index: usize, tape: &mut Tape<'_>) {
        let how = tape.byte();
        let flow = &self.slots[index].flow;
        let open = flow.peer_open;
        let mut options = Vec::new();
        let (mut flags, mut len) = (TcpFlags::ACK, 0);
        let seq = if open { flow.peer_nxt } else { flow.peer_iss };
        if open {
            len = LENGTHS[usize::from(how & 15) % LENGTHS.len()];
            if how & 0x40 != 0 {
                flags |= TcpFlags::FIN;
            }
            if how & 0x20 == 0 {
                options = timestamps(&[1, 1], flow.peer_nxt.0, flow.ts_value);
            }
        } else {
            flags = TcpFlags::SYN;
            if flow.iss.is_some() && self.slots[index].active {
                flags |= TcpFlags::ACK;
            }
            if how & 0x20 == 0 {
                options = SYN_OPTIONS.to_vec();
                options[12..16].copy_from_slice(&flow.ts_value.to_be_bytes());
            }
            if how & 8 != 0 {
                flags |=
                    if flags.contains(TcpFlags::ACK) { TcpFlags::ECE } else { TcpFlags::ECE | TcpFlags::CWR };
            }
            if self.fast_open && how & 0x10 != 0 {
                // A client's cookie with data, or its request for one; a server's grant.
                let granted = flags.contains(TcpFlags::ACK).then_some(&[7; 8][..]);
                let cookie = granted.unwrap_or(&flow.cookie);
                options.extend([&[34, 2 + cookie.len() as u8], cookie].concat());
                options.resize(options.len().next_multiple_of(4), 1);
                if granted.is_some() || !cookie.is_empty() {
                    len = LENGTHS[usize::from(how & 7)];
                }
            }
        }
        let window = if how & 0x80 == 0 { 65_535 } else { WINDOWS[usize::from(tape.byte() & 7)] };
        let header = TcpHeader { seq, ack: flow.nxt, flags, window, ..TcpHeader::default() };
        self.peer_sends(index, 0, &header, &options, len);
    }

    /// Anything.
    pub(super) fn segment(&mut self, index: usize, tape: &mut Tape<'_>) {
        let flags = TcpFlags::from_bits_truncate(u16::from(tape.byte()));
        let (place, answer) = (tape.byte(), tape.byte());
        let flow = &self.slots[index].flow;
        let near = |byte: u8| SeqNum(u32::from(byte >> 3)) - 16;
        let seq = match place & 7 {
            0 => flow.peer_nxt,
            1 => flow.acked + near(place).0,
            2 => flow.acked + (near(place).0.wrapping_mul(1_460)),
            3 => flow.acked + u32::from(tape.u16()),
            4 => flow.peer_iss,
            5 => flow.peer_nxt - u32::from(tape.u16()),
            6 => SeqNum(tape.u32()),
            _ => flow.acked + 0x8000_0000 + near(place).0,
        };
        let iss = flow.iss.unwrap_or_default();
        let una = flow.peer_acked.unwrap_or(iss + 1);
        let ack = match answer & 7 {
            0 => flow.nxt,
            1 => flow.nxt + near(answer).0,
            2 => una + u32::from(answer >> 3).wrapping_mul(1_448),
            3 => una,
            4 => iss + near(answer).0,
            5 => una + u32::from(tape.u16()),
            6 => SeqNum(tape.u32()),
            _ => flow.nxt + 0x8000_0000 + near(answer).0,
        };
        let (shape, extra) = (tape.byte(), tape.byte());
        let len = LENGTHS[usize::from(shape & 15) % LENGTHS.len()];
        let window = WINDOWS[usize::from(shape >> 4 & 7)];
        let mut options = Vec::new();
        if extra & 1 != 0 {
            options.extend(timestamps(&[1, 1], flow.peer_nxt.0, flow.ts_value));
        }
        if extra & 2 != 0 {
            let (value, echo) = (tape.u32(), tape.u32());
            options.extend(timestamps(&[], value, echo));
        }
        if extra & 4 != 0 {
            let blocks = 1 + tape.byte() % 4;
            options.extend([5, 2 + 8 * blocks]);
            for _ in 0..blocks {
                let (left, len) = (u32::from(tape.u16()), u32::from(tape.u16()));
                options.extend((una + left).0.to_be_bytes());
                options.extend((una + left + len).0.to_be_bytes());
            }
        }
        if extra & 8 != 0 {
            let [high, low] = tape.one_of(&[1_460_u16, 536, 1, 0, 65_535, 48, 9_000]).to_be_bytes();
            options.extend([2, 4, high, low]);
        }
        if extra & 16 != 0 {
            options.extend([1, 3, 3, tape.one_of(&[7, 0, 14, 15, 255])]);
        }
        if extra & 32 != 0 {
            options.extend([4, 2]);
        }
        if extra & 64 != 0 {
            let most = usize::from(tape.byte() % 41);
            options.extend_from_slice(tape.take(most));
        }
        let (mut urgent, mut ecn) = (0, 0);
        if extra & 128 != 0 {
            urgent = tape.u16();
            ecn = tape.byte() & 3;
        }
        let header = TcpHeader { seq, ack, flags, window, urgent, ..TcpHeader::default() };
        self.peer_sends(index, ecn, &header, &options, len);
    }

    fn peer_sends(&mut self, index: usize, ecn: u8, header: &TcpHeader, options: &[u8], len: usize) {
        let syn = u32::from(header.flags.contains(TcpFlags::SYN));
        let payload: Vec<u8> = (0..len as u32).map(|i| peer_byte(header.seq + syn + i)).collect();
        let flow = &self.slots[index].flow;
        let packet = packets::tcp(flow.peer, flow.stack, ecn, header, options, &payload);
        self.arrives(&packet, false);
    }
}

fn timestamps(lead: &[u8], value: u32, echo: u32) -> Vec<u8> {
    [lead, &[8, 10], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}
