//! PPP (RFC 1661): what a frame carries, the packets that set a link up, and the state that gives compressed TCP/IP packets
//! their headers back.
//!
//! A [`Link`] is what a reader of captures needs: it is given the records of one link in their order and returns what each
//! carries. [`Header`] and [`Message`] read single frames; [`hdlc`] is for bytes from a serial line.
//!
//! Everything is read leniently: captures hold cut and malformed frames, and what is there of them is shown.

mod auth;
mod control;
pub mod hdlc;
mod header;
pub(crate) mod lines;
mod link;
mod message;
mod options;

pub use auth::{Chap, Pap};
pub use control::{Code, Control, Items};
pub use header::{Header, Protocol};
pub use link::{Carried, Link, Links, Unwrapped};
pub use message::Message;
pub use options::{CcpOption, IpcpOption, LcpOption};
