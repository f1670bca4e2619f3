//! HTTP/1.1 requests and the checking of their answers: status, framing, length, and the body when it is known.

mod body;
mod exchange;
mod head;
mod request;

pub use request::{HttpSettings, Method, Page};

pub(super) use exchange::Http;
