//! Bytes as packets of any link layer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::captures::packet(data));
