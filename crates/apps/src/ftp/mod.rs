//! An FTP client (RFC 959, RFC 2428, RFC 3659) without TLS: one file or listing a session, by active
//! or passive data connections.

mod client;
mod control;
mod data;
mod path;
mod reply;

pub(crate) use client::get;

/// The longest line that a server may send on the control connection.
pub(crate) const MAX_LINE: usize = 8 * 1024;
