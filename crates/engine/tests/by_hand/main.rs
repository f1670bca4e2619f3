//! Two stacks by hand, joined by a wire that loses, delays, reorders, doubles and corrupts packets by a seed,
//! under a clock that only the test moves. Every packet a stack emits is checked before it meets the wire.

mod attacks;
mod bad_input;
mod buffers;
mod clients;
mod closing;
mod cookies;
mod datagrams;
mod errors;
mod fast_open;
mod fast_open_service;
mod held_acks;
mod hostile;
mod interface;
mod links;
mod listening;
mod net;
mod opening;
mod pacing;
mod raw;
mod segments;
mod services;
mod time_wait;
mod transfers;
