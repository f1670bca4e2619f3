//! One stack, its sockets, its clock and its peer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::hand::stack_by_hand(data));
