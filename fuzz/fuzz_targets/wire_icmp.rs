//! ICMP for both families, with Neighbor Discovery.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::wire::icmp(data));
