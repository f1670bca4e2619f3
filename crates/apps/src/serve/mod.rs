//! Servers that run on the engine's workers, to completion: HTTP, FTP, the small services of RFC 862 to 868, and those
//! that load generators talk to.
//!
//! A [`Server`] is the service of one worker; [`ServeConfig`] says what it serves, [`WorkerTotals`] what it has done.

mod civil;
mod config;
mod context;
mod files;
mod ftp;
mod held;
mod http;
mod load;
pub mod load_protocol;
mod server;
mod small;
mod totals;

pub use config::{Role, ServeConfig, Site};
pub use files::Root;
pub use server::Server;
pub use totals::{Counter, Trouble, WorkerTotals};
