//! TCP with its options, and UDP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::wire::transport(data));
