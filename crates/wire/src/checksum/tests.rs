//! Every way to sum against the textbook loop of RFC 1071 §4.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// Big-endian words, one at a time; an odd last byte is the high half of a word.
fn textbook(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for word in bytes.chunks(2) {
        sum += u64::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u64::from(low));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

type SumFn = fn(&[u8]) -> u64;
type CopyFn = fn(&[u8], &mut [u8]) -> u64;

/// Every routine that this CPU can run, by name.
fn routines() -> Vec<(&'static str, SumFn, CopyFn)> {
    let mut all: Vec<(_, SumFn, CopyFn)> = vec![
        ("portable", portable::sum, portable::copy_and_sum),
        ("dispatched", dispatch::sum, dispatch::copy_and_sum),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            all.push((
                "avx2",
                // SAFETY: AVX2 was found just above.
                |bytes| unsafe { x86::sum_avx2(bytes) },
                // SAFETY: as above.
                |src, dst| unsafe { x86::copy_and_sum_avx2(src, dst) },
            ));
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            all.push((
                "avx512",
                // SAFETY: AVX-512F and AVX-512BW were found just above.
                |bytes| unsafe { x86::sum_avx512(bytes) },
                // SAFETY: as above.
                |src, dst| unsafe { x86::copy_and_sum_avx512(src, dst) },
            ));
        }
    }
    all
}

fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 167 + index / 251) as u8 ^ 0xa5).collect()
}

#[test]
fn the_example_of_rfc_1071_section_3_sums_to_ddf2() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::of(&bytes).fold(), 0xddf2);
    assert_eq!(Sum::of(&bytes).finish(), !0xddf2);
}

#[test]
fn every_routine_agrees_at_every_alignment_and_length() {
    let bytes = counting(64 + 400);
    for (name, sum, copy) in routines() {
        for start in 0..64 {
            for len in 0..=400 {
                let piece = &bytes[start..start + len];
                assert_eq!(Sum(sum(piece)).fold(), textbook(piece), "{name} at {start} of {len}");
                let at = (start * 7 + len) % 64;
                let mut copied = vec![0xee; at + len + 64];
                assert_eq!(
                    Sum(copy(piece, &mut copied[at..at + len])).fold(),
                    textbook(piece),
                    "{name} copying"
                );
                assert_eq!(&copied[at..at + len], piece, "{name} at {start} of {len} to {at}");
                assert!(
                    copied[..at].iter().chain(&copied[at + len..]).all(|&byte| byte == 0xee),
                    "{name} strays"
                );
            }
        }
    }
}

#[test]
fn carries_survive_in_every_routine_when_all_bits_are_set() {
    let bytes = vec![0xff; 1 << 17];
    for (name, sum, _) in routines() {
        for len in [1 << 17, (1 << 17) - 1, 9000, 1460, 127] {
            assert_eq!(Sum(sum(&bytes[..len])).fold(), textbook(&bytes[..len]), "{name} of {len}");
        }
    }
}

#[test]
fn only_zeros_sum_to_zero() {
    for (name, sum, _) in routines() {
        assert_eq!(Sum(sum(&[0; 1460])).fold(), 0, "{name}");
        let mut cancelling = [0; 1460];
        cancelling[..4].copy_from_slice(&[0x12, 0x34, 0xed, 0xcb]);
        assert_eq!(Sum(sum(&cancelling)).fold(), 0xffff, "{name}");
    }
}

#[test]
fn copying_more_than_fits_copies_and_sums_what_fits() {
    let src = counting(300);
    let mut dst = [0; 201];
    assert_eq!(copy_and_sum(&src, &mut dst).fold(), textbook(&src[..201]));
    assert_eq!(dst[..], src[..201]);
}

#[test]
fn the_example_of_rfc_1624_section_4_updates_to_zero_not_minus_zero() {
    assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn a_mixed_pair_of_addresses_still_makes_a_sum() {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(pseudo_header(v4, v6, 6, 20), pseudo_header(v6, v4, 6, 20));
}

proptest! {
    #[test]
    fn arbitrary_bytes_sum_as_in_the_textbook(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        for (name, sum, copy) in routines() {
            prop_assert_eq!(Sum(sum(&bytes)).fold(), textbook(&bytes), "{}", name);
            let mut copied = vec![0; bytes.len()];
            prop_assert_eq!(Sum(copy(&bytes, &mut copied)).fold(), textbook(&bytes), "{}", name);
            prop_assert_eq!(&copied, &bytes);
        }
    }

    #[test]
    fn pieces_cut_anywhere_join_to_the_whole(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut whole = Sum::default();
        for piece in cuts.windows(2) {
            whole = whole.add_at(Sum::of(&bytes[piece[0]..piece[1]]), piece[0]);
        }
        prop_assert_eq!(whole, Sum::of(&bytes));
    }

    #[test]
    fn words_added_as_numbers_equal_their_bytes(a: u16, b: u32) {
        let bytes = [&a.to_be_bytes()[..], &b.to_be_bytes()].concat();
        prop_assert_eq!(Sum::default().add_u16(a).add_u32(b).fold(), textbook(&bytes));
    }

    #[test]
    fn an_updated_checksum_equals_one_taken_anew(
        mut bytes in prop::collection::vec(any::<u8>(), 8..100),
        at in any::<prop::sample::Index>(),
        new16: u16,
        new32: u32,
    ) {
        // A message of zeros alone has two checksums (RFC 1624 §3); no packet is one.
        bytes[0] |= 0x40;
        let at = 2 + at.index((bytes.len() - 4) / 2) * 2;
        let before = Sum::of(&bytes).finish();
        let old = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];

        bytes[at..at + 2].copy_from_slice(&new16.to_be_bytes());
        let word = u16::from_be_bytes([old[0], old[1]]);
        prop_assert_eq!(update16(before, word, new16), Sum::of(&bytes).finish());

        bytes[at..at + 4].copy_from_slice(&new32.to_be_bytes());
        prop_assert_eq!(update32(before, u32::from_be_bytes(old), new32), Sum::of(&bytes).finish());
    }

    #[test]
    fn a_stored_checksum_makes_the_whole_valid_and_a_flipped_bit_does_not(
        mut bytes in prop::collection::vec(any::<u8>(), 20..1600),
        src: u32,
        dst: u32,
        bit in any::<prop::sample::Index>(),
    ) {
        let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
        bytes[16..18].fill(0);
        let checksum = pseudo_header_v4(src, dst, 6, bytes.len() as u32).add(Sum::of(&bytes)).finish();
        bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
        prop_assert!(transport_ok(src.into(), dst.into(), 6, &bytes));
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!transport_ok(src.into(), dst.into(), 6, &bytes));
    }

    #[test]
    fn pseudo_headers_sum_their_bytes_as_laid_out(src: u128, dst: u128, protocol: u8, len: u32) {
        let (src6, dst6) = (Ipv6Addr::from_bits(src), Ipv6Addr::from_bits(dst));
        let tail = [&len.to_be_bytes()[..], &[0, 0, 0, protocol]].concat();
        let bytes = [&src6.octets()[..], &dst6.octets(), &tail].concat();
        prop_assert_eq!(pseudo_header(src6.into(), dst6.into(), protocol, len).fold(), textbook(&bytes));

        let (src4, dst4) = (Ipv4Addr::from_bits(src as u32), Ipv4Addr::from_bits(dst as u32));
        let bytes = [&src4.octets()[..], &dst4.octets(), &[0, protocol], &(len as u16).to_be_bytes()].concat();
        prop_assert_eq!(
            pseudo_header(src4.into(), dst4.into(), protocol, u32::from(len as u16)).fold(),
            textbook(&bytes)
        );
    }
}
