//! bypath: a TCP/IP engine over AF_XDP that leaves the kernel out of the data path.
//!
//! This crate joins the pieces below it: `bypath-wire` reads and writes headers, `bypath-tcp` runs one
//! connection without I/O or clock, `bypath-xdp` moves frames. Here live the pinned workers and what they
//! keep (flows, timers, neighbours, routes), the control plane that watches the kernel over netlink, and the
//! sockets that applications use.
//!
//! There are three ways to use it:
//!
//! - [`TcpStream`], [`TcpListener`] and [`UdpSocket`], blocking, from any thread, in the manner of `std::net`;
//! - a [`Service`] that runs on the worker to completion, sees received bytes where the device put them, sends
//!   from [`SendSource`]s that are read again for retransmission, and opens connections of its own ([`Desk`]);
//! - the stack [`by_hand`]: packets in and out, sockets that never block, a clock of the caller's, no thread
//!   and no device.
//!
//! A worker shares nothing on its data path. What has to cross a thread does so over single-producer,
//! single-consumer rings: bytes between a socket and its connection (`ring`), packets that arrived on a
//! worker which does not own their flow (`handoff`).

mod account;
mod builder;
pub mod by_hand;
mod client_ports;
mod compact;
mod control;
mod counters;
mod desk;
mod destinations;
mod detour;
mod device_egress;
mod engine;
mod error;
mod flow;
mod flow_table;
mod flows;
mod growing_ring;
mod handoff;
mod host_numbers;
pub mod in_memory;
mod kernel;
mod local_ring;
mod neighbor;
mod netlink;
mod packet;
#[doc(hidden)]
pub mod parts;
mod ports;
mod ring;
mod route;
mod segment_log;
mod service;
mod slab;
mod socket;
mod source;
mod spent_cookies;
mod stack;
pub mod tap;
mod template;
#[cfg(test)]
mod testnet;
mod timer_wheel;
mod waker;
mod worker;
mod worker_stats;
#[cfg(test)]
mod worker_tests;

pub use account::{CycleAccount, Phase};
pub use builder::EngineBuilder;
pub use bypath_tcp::{
    CloseReason, Config as TcpConfig, CongestionControl, ConnectionInfo, ConnectionStats, CookieMode, Ecn,
    EcnFeedback, EcnMode, Instant, MetricsCache, MtuProbing, Pacing, RecoveryState, State as TcpState,
};
pub use bypath_xdp::{AttachMode, BindMode, LoadPolicy, PumpStats, TransmitPath};
pub use desk::{ConnectError, Desk};
pub use engine::{Engine, EngineInfo, EngineStats};
pub use error::EngineError;
pub use segment_log::AckedSegment;
pub use service::{ConnectionId, Service, ServiceConnection};
pub use socket::{Report, TcpInfo, TcpListener, TcpStream, UdpSocket};
pub use source::SendSource;
pub use tap::{
    Tap, TapInterface, TapMeaning, TapOptions, TapRecord, TapSink, TapStats, TapVerdict, TapWriter, tap,
};
pub use worker::Poll;
pub use worker_stats::WorkerStats;
