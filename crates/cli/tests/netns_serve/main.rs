//! `bypath serve` over the engine and AF_XDP, with clients that somebody else wrote, in network namespaces. Needs root.

mod ftp;
mod http;
mod limits;
mod services;
mod shop;
