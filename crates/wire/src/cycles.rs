//! The processor's counter of time, for measuring short stretches of code: read in a few nanoseconds, where the
//! system's clock takes some dozens.

/// The counter. Its unit is the processor's business; it runs at one speed on every processor made since 2008. Where
/// there is none, nanoseconds.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn now() -> u64 {
    #[allow(unused_unsafe, reason = "safe in later versions of the compiler")]
    // SAFETY: the instruction is part of x86-64; it reads a counter and nothing else.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
}

/// The counter. Its unit is the processor's business; it runs at one speed on every processor made since 2008. Where
/// there is none, nanoseconds.
#[cfg(not(target_arch = "x86_64"))]
pub fn now() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
