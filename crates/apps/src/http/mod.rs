//! An HTTP/1.1 client (RFC 9112) without TLS: one GET or HEAD at a time, over connections that are
//! kept open for the next URL.

mod basic;
mod chunked;
mod client;
mod head;

pub(crate) use chunked::{Decoder, Step};
pub(crate) use client::{Pool, get};
