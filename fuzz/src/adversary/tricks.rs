//! What the adversary does.

use bypath_sim::packet::{Medium, TcpPacket};
use bypath_wire::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader};

use super::{MILLISECOND, Power, Wire};
use crate::packets::{self, Complaint};
use crate::tape::Tape;
use crate::told;

impl Wire {
    /// One thing that happens.
    pub(super) fn trick(&mut self, tape: &mut Tape<'_>) {
        let op = tape.byte();
        let (side, index) = (usize::from(op >> 7), usize::from(op >> 6 & 1) % self.connections.len());
        told!("{:.6} trick {} {side} {index}", self.now as f64 / 1e9, op & 31);
        match op & 31 {
            0..=7 => self.deliver(0),
            8 => {
                for _ in 0..self.flight.len() {
                    self.deliver(0);
                }
            }
            9 | 10 => {
                self.flight.pop_front();
            }
            11 => {
                // All under way to one side is lost.
                self.flight.retain(|(to, _)| *to != side);
            }
            12 | 13 => self.deliver(usize::from(tape.byte())),
            14 => {
                if let Some(first) = self.flight.front().cloned() {
                    self.flight.push_back(first);
                }
            }
            15 => {
                let which = usize::from(tape.byte()) % self.past.len().max(1);
                if let Some((to, packet)) = self.past.get(which).cloned() {
                    self.arrives(to, &packet);
                }
            }
            16 => self.damage(tape),
            17 => self.mark(),
            18 => self.too_big(tape),
            19 => self.now += MILLISECOND * u64::from(tape.byte()),
            20 => self.now += 100 * MILLISECOND * u64::from(tape.byte()),
            21 | 22 => {
                let deadline = self.stacks[side].next_deadline();
                if let Some(deadline) = deadline {
                    self.now = self.now.max(deadline.as_nanos());
                }
            }
            23 => {
                let bytes = u64::from(tape.u16());
                self.connections[index].may_write(side, bytes);
            }
            24 => self.connections[index].may_write(side, 1_000_000),
            25 => self.connections[index].pauses(side, tape.byte() & 1 == 0),
            26 if tape.byte() == 0x55 => {
                let stack = &mut self.stacks[side];
                self.connections[index].aborts(side, stack);
            }
            27 | 28 if self.power == Power::Blind => self.forge(index, side, tape),
            29 if self.power >= Power::Blind => {
                let code = tape.byte();
                if let Some((to, packet)) = self.past.get(usize::from(code & 7)).cloned() {
                    let complaint = packets::complaint(&packet, Complaint::Unreachable(code >> 3));
                    self.arrives(1 - to, &complaint);
                }
            }
            30 if self.power < Power::Liar => self.another(index, tape),
            27..=31 if self.power == Power::Liar => self.lie(tape),
            _ => self.deliver(0),
        }
    }

    fn deliver(&mut self, which: usize) {
        let which = which % self.flight.len().max(1);
        if let Some((to, packet)) = self.flight.remove(which) {
            self.now += MILLISECOND / 10;
            self.arrives(to, &packet);
        }
    }

    /// One byte changed, which every checksum shows, or the end missing. Of IPv6 no checksum covers the first
    /// four bytes and the hop limit, which do no harm; the length is left alone, because with one word fewer the
    /// sum may by chance be right again.
    fn damage(&mut self, tape: &mut Tape<'_>) {
        let (at, flip) = (tape.u16(), tape.byte());
        let Some((to, mut packet)) = self.flight.pop_front() else { return };
        if flip == 0 {
            packet.truncate(usize::from(at) % packet.len());
        } else {
            let v6 = packet[0] >> 4 == 6;
            let at = usize::from(at) % packet.len();
            if v6 && (4..6).contains(&at) {
                return;
            }
            packet[at] ^= flip;
        }
        self.arrives(to, &packet);
    }

    /// Congestion experienced, of a packet that may be marked (RFC 3168 section 5).
    fn mark(&mut self) {
        let Some((to, packet)) = self.flight.pop_front() else { return };
        let marked = match TcpPacket::parse(Medium::Ip, &packet) {
            Ok(Some(tcp)) if tcp.ecn != 0 => rebuilt(&tcp, 3, &tcp.header, None),
            _ => packet,
        };
        self.arrives(to, &marked);
    }

    /// A router cannot pass the next packet on, and says so.
    fn too_big(&mut self, tape: &mut Tape<'_>) {
        let mtu = tape.one_of(&[1_400_u16, 1_280, 576, 600, 0, 68]);
        let Some((to, packet)) = self.flight.pop_front() else { return };
        let least = if packet[0] >> 4 == 6 { 1_280 } else { 68 };
        if packet.len() <= usize::from(mtu.max(least)) {
            return self.arrives(to, &packet);
        }
        let complaint = packets::complaint(&packet, Complaint::TooBig(mtu));
        self.arrives(1 - to, &complaint);
    }

    /// Somebody who knows the addresses and ports, and nothing else. Far enough from any window unless it is a
    /// reset, which may hit.
    fn forge(&mut self, index: usize, side: usize, tape: &mut Tape<'_>) {
        let [to, from] = self.connections[index].names(side);
        let (flags, seq, far, ack, len) = (tape.byte(), tape.u32(), tape.byte(), tape.u32(), tape.byte());
        let mut flags = TcpFlags::from_bits_truncate(u16::from(flags));
        let mut seq = SeqNum(seq);
        if !flags.contains(TcpFlags::RST) {
            // Where the real ones are the adversary does not know, so the harness tells it where not to go.
            let near = self.past.iter().find_map(|(_, packet)| {
                let tcp = TcpPacket::parse(Medium::Ip, packet).ok()??;
                (tcp.from == from).then_some(tcp.header.seq)
            });
            seq = near.unwrap_or_default() + 0x2000_0000 + (u32::from(far) << 21) + (seq.0 & 0xffff);
            // A SYN may open a new connection where the old one is over: another story.
            flags.remove(TcpFlags::SYN);
        }
        let header = TcpHeader { seq, ack: SeqNum(ack), flags, window: 1_000, ..TcpHeader::default() };
        let packet = packets::tcp(from, to, 0, &header, &[], &[0x58; 255][..usize::from(len)]);
        self.arrives(side, &packet);
    }

    /// The next packet, or one of before, with fields changed and checksums good.
    fn lie(&mut self, tape: &mut Tape<'_>) {
        let how = tape.byte();
        let next = if how & 0x80 == 0 { self.flight.pop_front() } else { None };
        let Some((to, packet)) = next.or_else(|| self.past.get(usize::from(how >> 3 & 15)).cloned()) else {
            return;
        };
        let Ok(Some(tcp)) = TcpPacket::parse(Medium::Ip, &packet) else { return self.arrives(to, &packet) };
        let mut header = tcp.header;
        let small = |byte: u8| (i32::from(byte.cast_signed())).cast_unsigned();
        let mut options = None;
        match how & 7 {
            0 => header.flags ^= TcpFlags::from_bits_truncate(u16::from(tape.byte())),
            1 => header.seq += small(tape.byte()),
            2 => header.ack += small(tape.byte()),
            3 => header.seq = SeqNum(tape.u32()),
            4 => header.ack += u32::from(tape.u16()),
            5 => header.window = tape.u16(),
            6 => {
                header.urgent = tape.u16();
                header.flags |= TcpFlags::URG;
            }
            _ => {
                let len = usize::from(tape.byte() % 41);
                options = Some(tape.take(len));
            }
        }
        let packet = rebuilt(&tcp, tcp.ecn, &header, options);
        self.arrives(to, &packet);
    }
}

/// A packet with another header, and these options or those that it had.
fn rebuilt(tcp: &TcpPacket<'_>, ecn: u8, header: &TcpHeader, options: Option<&[u8]>) -> Vec<u8> {
    let mut own = [0; 40];
    let len = tcp.options.emit(&mut own);
    packets::tcp(tcp.from, tcp.to, ecn, header, options.unwrap_or(&own[..len]), tcp.payload)
}
