//! What RFC 9293 section 3.1 and 3.2 say of options, on the bytes.

use bypath_wire::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpOptions, Timestamps};

/// All there is, in all combinations.
fn combinations() -> impl Iterator<Item = TcpOptions> {
    (0..64u32).map(|bits| {
        let has = |n: u32| bits & (1 << n) != 0;
        let block = |n: u32| SackBlock { left: SeqNum(100 * n), right: SeqNum(100 * n + 50) };
        TcpOptions {
            mss: has(0).then_some(1_460),
            window_scale: has(1).then_some(7),
            sack_permitted: has(2),
            timestamps: has(3).then_some(Timestamps { value: 0, echo: 0 }),
            sack: (0..if has(4) { 3 } else { 0 }).map(block).collect(),
            fast_open: has(5).then(|| [0u8, 0, 0, 0].into_iter().collect()),
        }
    })
}

fn encoded(options: &TcpOptions) -> Vec<u8> {
    let mut bytes = vec![0xee; options.encoded_len()];
    assert_eq!(options.emit(&mut bytes), bytes.len());
    bytes
}

/// The options one by one, by nothing but their lengths: kind and length.
fn walk(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    while let [kind, ..] = *bytes {
        let len = if kind <= 1 { 1 } else { usize::from(bytes[1]) };
        assert!(kind <= 1 || len >= 2, "{bytes:?}");
        found.push((kind, len));
        bytes = &bytes[len..];
    }
    found
}

#[test]
fn every_option_written_but_nop_has_its_length_and_nothing_is_left_between() {
    for options in combinations() {
        let bytes = encoded(&options);
        assert_eq!(bytes.len() % 4, 0);
        let kinds: Vec<u8> =
            walk(&bytes).into_iter().map(|(kind, _)| kind).filter(|kind| *kind != 1).collect();
        assert_eq!(kinds.contains(&2), options.mss.is_some());
        assert_eq!(kinds.contains(&3), options.window_scale.is_some());
        assert_eq!(kinds.contains(&4), options.sack_permitted);
        assert_eq!(kinds.contains(&8), options.timestamps.is_some());
    }
}

#[test]
fn the_list_is_filled_up_with_nops_so_that_nothing_lies_beyond_an_end() {
    for options in combinations() {
        assert!(walk(&encoded(&options)).iter().all(|(kind, _)| *kind != 0), "{options:?}");
    }
}

#[test]
fn options_are_read_wherever_they_begin() {
    for lead in 0..4 {
        for between in 0..4 {
            let mut bytes = vec![1; lead];
            bytes.extend([8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
            bytes.extend(vec![1; between]);
            bytes.extend([2, 4, 0x05, 0xb4]);
            bytes.extend(vec![1; between]);
            bytes.extend([3, 3, 9]);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let options = TcpOptions::parse(&bytes).unwrap();
            assert_eq!(options.timestamps, Some(Timestamps { value: 5, echo: 6 }));
            assert_eq!((options.mss, options.window_scale), (Some(1_460), Some(9)), "{lead} {between}");
        }
    }
}

#[test]
fn what_lies_beyond_the_end_of_the_list_is_not_read() {
    for junk in [[2, 4, 5, 180], [2, 0, 0, 0], [8, 1, 255, 255]] {
        let mut bytes = vec![3, 3, 9, 0];
        bytes.extend(junk);
        let expected = TcpOptions { window_scale: Some(9), ..TcpOptions::default() };
        assert_eq!(TcpOptions::parse(&bytes), Ok(expected), "{junk:?}");
    }
}
