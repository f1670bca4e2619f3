//! Reading capture files, and verifying the checksums of every packet in them.
//!
//! Headers are read and summed here in the plainest way on purpose: this judges the code that is fast.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::Result;
use crate::error::{Doing, LabError};

/// One frame of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Its length on the wire in bytes.
    pub wire_len: u32,
    /// What was captured of it, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// The frames of a capture file, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    big_endian: bool,
    ns_per_tick: u64,
}

const LINKTYPE_ETHERNET: u32 = 1;
const LONGEST_FRAME: u32 = 1 << 18;

impl<R: Read> Reader<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(mut input: R) -> std::result::Result<Reader<R>, &'static str> {
        let mut header = [0; 24];
        input.read_exact(&mut header).map_err(|_| "shorter than the header of a capture file")?;
        // The magic number tells the byte order and the unit of time: draft-ietf-opsawg-pcap, section 4.
        let (big_endian, ns_per_tick) = match header[..4] {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            _ => return Err("not a pcap file"),
        };
        let reader = Reader { input, big_endian, ns_per_tick };
        if reader.u32_at(&header, 20) & 0xffff != LINKTYPE_ETHERNET {
            return Err("not a capture of Ethernet frames");
        }
        Ok(reader)
    }

    /// The next frame, `None` at the end. A frame that was cut off as the capture ended counts as the end.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn next_frame(&mut self) -> std::result::Result<Option<CapturedFrame>, &'static str> {
        let mut header = [0; 16];
        if let Err(error) = self.input.read_exact(&mut header) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err("unreadable") };
        }
        let [seconds, ticks, len, wire_len] = [0, 4, 8, 12].map(|at| self.u32_at(&header, at));
        if len > LONGEST_FRAME {
            return Err("a frame longer than any");
        }
        let mut bytes = vec![0; len as usize];
        if self.input.read_exact(&mut bytes).is_err() {
            return Ok(None);
        }
        let time_ns = u64::from(seconds) * 1_000_000_000 + u64::from(ticks) * self.ns_per_tick;
        Ok(Some(CapturedFrame { time_ns, wire_len, bytes }))
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> u32 {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }
}

/// Reads a whole capture file.
///
/// # Errors
/// [`LabError::BadCapture`], [`LabError::Io`].
pub fn read_file(path: &Path) -> Result<Vec<CapturedFrame>> {
    let mut frames = Vec::new();
    each_frame(path, |frame| frames.push(frame))?;
    Ok(frames)
}

/// Verifies every checksum in a capture file.
///
/// # Errors
/// [`LabError::BadCapture`], [`LabError::Io`].
pub fn check_file(path: &Path) -> Result<ChecksumReport> {
    let mut report = ChecksumReport::default();
    each_frame(path, |frame| report.add(&frame))?;
    Ok(report)
}

fn each_frame(path: &Path, mut visit: impl FnMut(CapturedFrame)) -> Result<()> {
    let file = File::open(path).doing(|| format!("opening {}", path.display()))?;
    let bad = |why| LabError::BadCapture { path: path.to_owned(), why };
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file)).map_err(bad)?;
    while let Some(frame) = reader.next_frame().map_err(bad)? {
        visit(frame);
    }
    Ok(())
}

/// What was found in the packets of a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChecksumReport {
    /// Frames in the file.
    pub frames: u64,
    /// TCP, UDP, ICMP and ICMPv6 packets whose checksum was verified and is right.
    pub right: u64,
    /// Frames with nothing to verify: ARP, other protocols, fragments, cut-off frames, UDP without one.
    pub unchecked: u64,
    /// Which frames (from 0) are wrong, and how.
    pub wrong: Vec<(u64, Wrong)>,
}

/// What can be wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The IPv4 header does not sum up.
    Ipv4Header,
    /// The transport's checksum does not; this is its protocol number.
    Transport(u8),
    /// Its lengths contradict each other.
    Malformed,
}

impl ChecksumReport {
    /// Looks at one more frame.
    pub fn add(&mut self, frame: &CapturedFrame) {
        match check(&frame.bytes, frame.wire_len) {
            Ok(true) => self.right += 1,
            Ok(false) => self.unchecked += 1,
            Err(wrong) => self.wrong.push((self.frames, wrong)),
        }
        self.frames += 1;
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Whether there was a checksum to verify; an error when it is wrong.
fn check(frame: &[u8], wire_len: u32) -> std::result::Result<bool, Wrong> {
    if frame.len() < wire_len as usize || frame.len() < 14 {
        return Ok(false);
    }
    let mut at = 12;
    // 802.1Q and 802.1ad tags are four bytes each.
    while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let packet = frame.get(at + 2..).ok_or(Wrong::Malformed)?;
    match frame[at..at + 2] {
        [0x08, 0x00] => check_ipv4(packet),
        [0x86, 0xdd] => check_ipv6(packet),
        _ => Ok(false),
    }
}

fn check_ipv4(packet: &[u8]) -> std::result::Result<bool, Wrong> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return Err(Wrong::Malformed);
    }
    let header_len = usize::from(packet[0] & 15) * 4;
    let total_len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header_len < 20 || total_len < header_len || total_len > packet.len() {
        return Err(Wrong::Malformed);
    }
    if sum(0, &packet[..header_len]) != 0xffff {
        return Err(Wrong::Ipv4Header);
    }
    // More fragments to come, or not the first one.
    if (packet[6] & 0x3f) != 0 || packet[7] != 0 {
        return Ok(false);
    }
    check_transport(packet[9], &packet[12..20], &packet[header_len..total_len])
}

fn check_ipv6(packet: &[u8]) -> std::result::Result<bool, Wrong> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return Err(Wrong::Malformed);
    }
    let payload_len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let mut payload = packet.get(40..40 + payload_len).ok_or(Wrong::Malformed)?;
    let mut protocol = packet[6];
    // Hop-by-hop, routing and destination options: RFC 8200, section 4.
    while matches!(protocol, 0 | 43 | 60) {
        let [next, units, ..] = *payload else { return Err(Wrong::Malformed) };
        payload = payload.get(8 + usize::from(units) * 8..).ok_or(Wrong::Malformed)?;
        protocol = next;
    }
    check_transport(protocol, &packet[8..40], payload)
}

fn check_transport(protocol: u8, addresses: &[u8], segment: &[u8]) -> std::result::Result<bool, Wrong> {
    let shortest = match protocol {
        TCP => 20,
        UDP | ICMP | ICMPV6 => 8,
        _ => return Ok(false),
    };
    if segment.len() < shortest {
        return Err(Wrong::Malformed);
    }
    // Over IPv4 a UDP checksum of zero says that there is none: RFC 768.
    if protocol == UDP && segment[6..8] == [0, 0] {
        return if addresses.len() == 8 { Ok(false) } else { Err(Wrong::Transport(UDP)) };
    }
    // ICMP over IPv4 is summed without the pseudo-header: RFC 792.
    let pseudo =
        if protocol == ICMP { 0 } else { sum(u32::from(protocol) + segment.len() as u32, addresses) };
    if sum(pseudo, segment) == 0xffff { Ok(true) } else { Err(Wrong::Transport(protocol)) }
}

/// The one's complement sum of 16-bit words, as RFC 1071 describes it in words.
fn sum(start: u32, bytes: &[u8]) -> u32 {
    let mut total = start;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        total = (total & 0xffff) + (total >> 16);
    }
    (total & 0xffff) + (total >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ICMP echo request of four bytes of data.
    const PING: [u8; 46] = [
        2, 0xb1, 0x9a, 0, 0, 2, 2, 0xb1, 0x9a, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 1, 0xe8, 0xa3, 198, 18, 0, 1, 198, 18, 0, 2, // IPv4
        8, 0, 0xdf, 0xd2, 0x12, 0x34, 0, 1, 1, 2, 3, 4,
    ];

    fn ping() -> [u8; 46] {
        let mut ping = PING;
        ping[24..26].fill(0);
        let header = !sum(0, &ping[14..34]) as u16;
        ping[24..26].copy_from_slice(&header.to_be_bytes());
        ping[36..38].fill(0);
        let body = !sum(0, &ping[34..]) as u16;
        ping[36..38].copy_from_slice(&body.to_be_bytes());
        ping
    }

    #[test]
    fn finds_every_single_flipped_bit_past_the_ethernet_header() {
        let ping = ping();
        assert_eq!(check(&ping, 46), Ok(true));
        for bit in 14 * 8..46 * 8 {
            let mut bad = ping;
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(check(&bad, 46).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn leaves_cut_off_frames_alone() {
        assert_eq!(check(&ping()[..30], 46), Ok(false));
    }

    #[test]
    fn reads_files_of_either_byte_order() {
        let mut little = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
        little.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        little.extend([5, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3]);
        let mut big = 0xa1b2_c3d4u32.to_be_bytes().to_vec();
        big.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1]);
        big.extend([0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 9, 1, 2, 3]);
        for file in [little, big] {
            let mut reader = Reader::new(&file[..]).unwrap();
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(frame, CapturedFrame { time_ns: 5_000_007_000, wire_len: 9, bytes: vec![1, 2, 3] });
            assert_eq!(reader.next_frame().unwrap(), None);
        }
        assert!(Reader::new(&[0; 24][..]).is_err());
    }
}
