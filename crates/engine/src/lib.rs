//! bypath: a TCP/IP engine over AF_XDP that leaves the kernel out of the data path.
//!
//! This crate joins the pieces below it: `bypath-wire` reads and writes headers, `bypath-tcp` runs one
//! connection without I/O or clock, `bypath-xdp` moves frames. Here live the pinned workers and what they
//! keep (flows, timers, neighbours, routes), the control plane that watches the kernel over netlink, and the
//! sockets that applications use.
//!
//! A worker shares nothing on its data path. What has to cross a thread does so over single-producer,
//! single-consumer rings: bytes between a socket and its connection (`ring`), packets that arrived on a
//! worker which does not own their flow (`handoff`).

#[allow(dead_code)]
mod flow_table;
#[allow(dead_code)]
mod handoff;
#[allow(dead_code)]
mod kernel;
#[allow(dead_code)]
mod neighbor;
#[allow(dead_code)]
mod netlink;
#[allow(dead_code)]
mod ports;
#[allow(dead_code)]
mod ring;
#[allow(dead_code)]
mod route;
#[allow(dead_code)]
mod slab;
#[cfg(test)]
mod testnet;
#[allow(dead_code)]
mod timer_wheel;
