//! A guest: a machine that QEMU emulates, with two NICs wired back to back whose drivers do zero-copy AF_XDP, for
//! tests of what no network namespace has.
//!
//! Nothing of it is installed. `packages` fetches QEMU and a kernel into a cache of our own and unpacks them there,
//! `image` makes the guest's file system, `machine` runs it within a time.

mod apt;
mod image;
mod machine;
mod packages;

pub(crate) use image::Image;
pub(crate) use machine::{Machine, Nic};
pub(crate) use packages::{Parts, parts};
