//! Frames, rings and the program that feeds them: everything between the NIC and the engine.
//!
//! A [`Device`] hands out [`Frame`] tokens of one [`UmemArea`]. There are two devices: `XdpDevice` over
//! AF_XDP sockets, steered by the program in `bpf/steer.bpf.c`, and [`memory::pair`], two ends of a
//! wire with seeded impairments for tests and simulation. The engine above does not know which it has.
//! This is the only crate of the workspace that contains `unsafe`.

pub mod device;
pub mod frame;
pub mod impair;
mod ledger;
pub mod memory;
mod pool;
pub mod umem;

pub use device::{Attached, Bound, Device, DeviceInfo, DeviceStats};
pub use frame::{Frame, RxBatch};
pub use impair::{Impairments, WireStats};
pub use memory::{MemoryConfig, MemoryDevice, WireClock};
pub use umem::UmemArea;
