//! Packetdrill's script language, driving the stack by hand on a virtual clock.
//!
//! A script says which system calls are made, which packets arrive, and which packets the stack must send, each with
//! its time. [`parse`] reads it, [`run`] plays it against a [`bypath::by_hand::Stack`] and stops at the first thing that is not as
//! the script says. The language, and where this interpreter differs from upstream's, is described in `docs/scripts.md`.
//!
//! The rooms: `cursor` walks the text, `parse` makes a [`Script`] of it; `settings` turns options and sysctls into settings of
//! the stack; `runner` has the clock and the packets, `calls` the system calls, `mapping` knows which live number a script
//! means, `compare` holds a packet against what was expected, `wire` writes and reads the bytes, `show` prints packets as scripts
//! write them, `assertion` evaluates `%{ }%`.

mod assertion;
mod calls;
mod compare;
mod cursor;
mod failure;
mod mapping;
mod parse;
mod runner;
mod script;
mod settings;
mod show;
mod symbols;
mod variables;
mod wire;

pub use failure::Failure;
pub use parse::parse;
pub use runner::{Options, Outcome, run};
pub use script::Script;
