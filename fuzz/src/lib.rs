//! What the fuzz targets do with their bytes. A target itself is one line, so that the same can be run by hand
//! on a file, and every finding can be told as a test of the crate that it was found in.
//!
//! A finding is a panic: each module says what it holds to be true of the code it drives.

pub mod adversary;
pub mod apps;
pub mod captures;
pub mod hand;
mod packets;
pub mod serial;
pub mod serve;
mod settings;
pub mod stories;
mod tape;
pub mod wire;

/// Tells on standard error what happens, when `BYPATH_FUZZ_TRACE` is set: for looking at a finding.
macro_rules! told {
    ($($what:tt)*) => {
        if crate::is_told() {
            eprintln!($($what)*);
        }
    };
}
pub(crate) use told;

fn is_told() -> bool {
    static TOLD: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("BYPATH_FUZZ_TRACE").is_some());
    *TOLD
}
