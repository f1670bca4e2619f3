//! Loads on TCP servers: many clients on the engine's workers, what they say, when they say it, and what came of it.
//!
//! [`run`] takes [`LoadSettings`] and the settings of an engine, and gives a [`RunResult`](crate::result::RunResult);
//! an [`Observer`] hears of every interval and can end the run early.
//!
//! Below it, each worker runs one `Client` (a [`bypath::Service`]): it opens connections, begins requests when they are
//! due ([`crate::schedule`]) and records times in histograms of its own, without an allocation, a lock or a system call
//! for a packet. What is said on the connections is an `Exchange`'s business, a state machine without clock or
//! engine: `rr`, `stream`, `hold`, `http`, `ftp`. Once an interval what was recorded goes to the collecting thread whole.

mod bytes;
mod cause;
mod client;
mod collect;
mod demand;
mod events;
mod exchange;
mod files;
mod ftp;
mod hold;
mod http;
mod outcome;
mod plan;
mod rr;
mod run;
mod seat;
mod session;
mod settings;
mod sink;
mod source;
mod stream;
mod tally;
mod window;
mod wire;
mod worker_counts;

pub use files::{FileProtocol, FilesSettings};
pub use ftp::FtpSettings;
pub use http::{HttpSettings, Method, Page};
pub use run::{Observer, run, run_repeated};
pub use settings::{
    Direction, Impossible, LoadSettings, Pattern, Protocol, Ramp, Rate, RrSettings, SinkSettings,
    StreamSettings,
};
