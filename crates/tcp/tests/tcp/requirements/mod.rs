//! Requirements of the RFCs that nothing else shows: one behaviour each. The first four are RFC 9293's, by its chapters;
//! the others are those of timers and congestion (RFC 6298, RFC 5681) and of the options (RFC 7323, RFC 2018).

mod congestion;
mod failures;
mod opening;
mod options;
mod segments;
mod timers;
mod windows;
