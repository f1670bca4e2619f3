//! The Internet checksum against the textbook loop.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::wire::checksum(data));
