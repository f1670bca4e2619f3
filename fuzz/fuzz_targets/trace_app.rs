//! What applications say, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::serial::app(data));
