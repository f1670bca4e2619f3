//! IPv4, IPv6 and its extension headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::wire::ip(data));
