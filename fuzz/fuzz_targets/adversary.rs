//! Two stacks with an adversary between them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::adversary::adversary(data));
