//! Micro-benchmarks: `cargo bench -p bypath-benches`. Each file under `benches/` measures one part in memory;
//! what involves a device or a peer is measured by the demo.
