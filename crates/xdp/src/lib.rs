//! Frames, rings and the program that feeds them: everything between the NIC and the engine.
//!
//! A [`Device`] hands out [`Frame`] tokens of one [`UmemArea`]. There are three devices: `XdpDevice` over
//! AF_XDP sockets, steered by the program in `bpf/steer.bpf.c`; [`memory::pair`], two ends of a
//! wire with seeded impairments for tests and simulation; and [`direct::pair`], which hands frames over without a
//! wire, for measuring what is above it. The engine above does not know which it has.
//! `unsafe` for rings, frames and system calls on the NIC lives here; elsewhere only the byte ring of the engine, the
//! SIMD checksums of bypath-wire, the packet sockets of bypath-lab and the TCP_INFO call of bypath-apps have some.

pub mod ceiling;
pub mod device;
pub mod direct;
pub mod error;
pub mod frame;
pub mod impair;
mod ledger;
pub mod memory;
pub mod nic;
pub mod placement;
mod poll;
mod pool;
pub mod pump;
mod ring;
mod socket;
pub mod steer;
pub mod umem;
pub mod xsk;

pub use device::{Attached, Bound, Device, DeviceInfo, DeviceStats};
pub use direct::DirectDevice;
pub use error::XdpError;
pub use frame::{Frame, RxBatch};
pub use impair::{Impairments, WireStats};
pub use memory::{MemoryConfig, MemoryDevice, WireClock};
pub use nic::{NicFacts, Tunable, XdpProgram};
pub use placement::{Placement, Spreading};
pub use pump::{LoadPolicy, Pump, PumpConfig, PumpStats, PumpUse, TransmitPath};
pub use socket::BusyPoll;
pub use steer::{AttachMode, Protocol, Steering, SteeringProgram, Strays};
pub use umem::UmemArea;
pub use xsk::{BindMode, MultiBuffer, QueueConfig, XdpDevice};
