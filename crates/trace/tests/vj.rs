//! The POP3 log-in through Van Jacobson's compression: the frames have the lengths that were noted down, and the packets
//! come back.

mod vectors;

use bypath_trace::Direction;
use bypath_trace::vj::{Compressor, Expander, Kind};

#[test]
fn the_login_is_compressed_to_the_lengths_it_had_and_comes_back() {
    let mut ends = [Direction::Out, Direction::In]
        .map(|direction| (direction, Compressor::new(16).naming_every_slot(), Expander::new()));
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let mut lengths = Vec::new();
    for sent in vectors::pop3_login().iter().filter(|sent| sent.direction.is_some()) {
        let (_, compressor, expander) =
            ends.iter_mut().find(|(direction, ..)| sent.direction == Some(*direction)).unwrap();
        let kind = compressor.compress(&sent.bytes, &mut frame);
        let expected = match sent.noted.ppp_protocol {
            Some(0x21) => Kind::Ip,
            Some(0x2f) => Kind::UncompressedTcp,
            _ => Kind::CompressedTcp,
        };
        assert_eq!(kind, expected, "packet {}", sent.noted.n);
        if kind == Kind::CompressedTcp {
            lengths.push((sent.noted.n, frame.len()));
        }
        expander.expand(kind, &frame, 0, &mut packet).unwrap();
        assert_eq!(packet, sent.bytes, "packet {}", sent.noted.n);
    }
    assert_eq!(lengths, [(9, 19), (10, 6), (11, 9), (12, 16), (13, 6), (14, 43), (17, 7), (18, 7)]);
}

#[test]
fn the_download_comes_back_through_a_compressed_link() {
    let mut ends = [(); 2].map(|()| (Compressor::new(16), Expander::new()));
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let mut kinds = Vec::new();
    for sent in vectors::ftp_download() {
        let (compressor, expander) = &mut ends[usize::from(sent.direction == Some(Direction::In))];
        kinds.push(compressor.compress(&sent.bytes, &mut frame));
        expander.expand(kinds[kinds.len() - 1], &frame, 0, &mut packet).unwrap();
        assert_eq!(packet, sent.bytes, "packet {}", sent.noted.n);
    }
    let count = |kind| kinds.iter().filter(|&&is| is == kind).count();
    // Look-ups and the ends of two connections as they are; each connection once in full each way, and once more after an
    // acknowledgement that repeats the one before.
    assert_eq!((count(Kind::Ip), kinds.len()), (8 + 4 + 4, 80));
    assert!(count(Kind::UncompressedTcp) <= 6, "{}", count(Kind::UncompressedTcp));
}
