//! Two stacks by hand, joined by a wire that loses, delays, reorders, doubles and corrupts packets by a seed,
//! under a clock that only the test moves. Every packet a stack emits is checked before it meets the wire.

mod closing;
mod datagrams;
mod errors;
mod hostile;
mod interface;
mod links;
mod net;
mod opening;
mod segments;
mod services;
mod transfers;
