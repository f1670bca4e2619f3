//! Requirements of RFC 9293 that nothing else shows: one behaviour each, by the chapters of the RFC.

mod failures;
mod opening;
mod segments;
mod windows;
