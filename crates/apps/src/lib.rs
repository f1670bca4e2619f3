//! Protocols on sockets: a DNS stub resolver, an HTTP/1.1 client and an FTP client, written against
//! the small [`Network`] trait instead of any one stack.
//!
//! Callers build a [`Client`] over a network and hand it one [`Request`] after another; [`fetch`]
//! streams each body into a [`Sink`] and tells what happened in a [`Report`]. Nothing here knows
//! about files, progress bars or command lines: that is the `bypath` command's part. Nothing here
//! knows about packets either: that is the engine's.

mod budget;
mod conn;
mod dial;
pub mod dns;
mod engine_net;
mod error;
mod fetch;
mod ftp;
mod http;
mod kernel_net;
mod net;
pub mod serve;
mod target;

pub use budget::CancelToken;
pub use engine_net::EngineNetwork;
pub use error::FetchError;
pub use fetch::{
    BodyInfo, ByteRange, Client, ClientConfig, Credentials, DataMode, Report, Request, Sink, Timings,
    Transfer, fetch,
};
pub use kernel_net::KernelNetwork;
pub use net::{Listener, Network, Stream, Udp};
pub use target::{Scheme, Target, percent_decode};
