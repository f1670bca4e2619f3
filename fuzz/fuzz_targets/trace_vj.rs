//! Packets through Van Jacobson's compression and back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::serial::vj(data));
