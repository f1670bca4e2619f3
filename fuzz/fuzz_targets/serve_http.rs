//! The HTTP server and a hostile client.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::serve::http(data));
