//! Ethernet and ARP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::wire::link(data));
