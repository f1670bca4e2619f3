//! The FTP client and a hostile server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bypath_fuzz::apps::ftp(data));
