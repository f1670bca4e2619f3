//! What the benchmarks share: `cargo bench -p bypath-benches`, with `-- --quick` for a look. Each file under
//! `benches/` measures one thing in memory, where there is a peer beside smoltcp; what involves a device is measured by
//! `cargo xtask versus`. [docs/performance.md](../../docs/performance.md) says what the figures mean.
//!
//! Time is the CPU time of the thread, so that others on the machine disturb little.

mod figures;
mod services;
mod smol;

pub use figures::{Figures, config, cpu_time, resident_bytes};
pub use services::{Asked, Asker, Echo, Sink, Streamer};
pub use smol::{SmolPair, SmolRr, SmolStream};
