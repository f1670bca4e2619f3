//! Ctrl-C, as a flag that a run looks at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

/// What ends a run with what it has until then.
pub(crate) const ENDING: [i32; 2] = [SIGINT, SIGTERM];

/// A flag that they set.
pub(crate) fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    set_by_signals(&stop)?;
    Ok(stop)
}

/// They set this flag.
pub(crate) fn set_by_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in ENDING {
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}
