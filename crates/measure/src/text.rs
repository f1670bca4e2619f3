//! Text for people: lines while a run goes on, in the manner of iperf3, and the summary at its end.

mod units;

pub use units::{bits_per_second, bytes, count, duration_ns, percent, rate, seconds};
