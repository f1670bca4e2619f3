//! One TCP connection as a state machine.
//!
//! A [`Connection`] takes segments and the time, and says what to send ([`Connection::poll_transmit`]),
//! what to hand to the application ([`Received`]) and when to be woken ([`Connection::next_deadline`]).
//! It has no threads, no sockets and no clock, and it holds no payload: bytes to send are read again from
//! wherever the application keeps them, by stream offset, and received bytes are placed by the caller as
//! the connection directs. So the same code runs under a worker, a simulator, a fuzzer and a benchmark.
//!
//! The rooms: [`input`](crate) takes segments (RFC 9293 section 3.10.7), `receive` places their payload,
//! `output` builds them, `burst` the ordinary ones many at a time, `timers` fires what is due; `scoreboard` remembers
//! what was sent and what of it the peer holds, `rack` and `dup_acks` find what is lost, `recovery` says what follows
//! from it, `tail_loss` probes where nothing is heard, `prr` meters what is sent meanwhile, `undo` and `f_rto` take back
//! what was a mistake, `sack_report` tells the peer; `congestion` how much may be in flight, `delivery_rate` measures
//! how fast it arrives, `pacing` spreads it, `rtt` how long to wait; `assembler` keeps the ranges received
//! out of order; `isn` chooses initial sequence numbers.

mod acks;
mod asleep;
mod assembler;
mod autotune;
mod burst;
mod challenge;
mod config;
mod congestion;
mod congestion_feed;
mod connection;
mod cookie;
mod delivery_rate;
mod dup_acks;
mod ecn;
mod f_rto;
mod fast_open;
mod info;
mod input;
mod isn;
mod open;
mod output;
mod pacing;
mod path_metrics;
mod path_mtu;
mod prr;
mod push;
mod rack;
mod receive;
mod recovery;
mod request;
mod reset;
mod rtt;
mod sack_report;
mod scoreboard;
mod segment;
mod settings;
mod stall;
mod state;
mod stats;
mod tail_loss;
mod time;
mod time_wait;
mod timers;
mod undo;
mod urgent;
mod validation;
mod window;

pub use asleep::Asleep;
pub use burst::{Burst, Poll};
pub use challenge::ChallengeLimiter;
pub use config::{Config, CongestionControl, CookieMode, EcnMode, MetricsCache, MtuProbing, Pacing};
pub use connection::{CloseReason, Connection};
pub use cookie::SynCookies;
pub use ecn::{Ecn, EcnFeedback};
pub use fast_open::{FastOpenCookie, FastOpenKeys, FastOpenReport};
pub use info::{ConnectionInfo, RecoveryState};
pub use isn::IsnGenerator;
pub use path_metrics::PathMetrics;
pub use request::{Request, Verdict};
pub use reset::reset_for;
pub use segment::{Events, Purpose, Received, Segment, Store, TxSegment};
pub use state::State;
pub use stats::{ConnectionStats, DropCause};
pub use time::Instant;
pub use time_wait::{Remains, TimeWait};
