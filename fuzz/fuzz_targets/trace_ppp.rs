//! Bytes of a serial line, and frames of PPP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::serial::ppp(data));
