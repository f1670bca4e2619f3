//! What the fuzz targets do with their bytes. A target itself is one line, so that the same can be run by hand
//! on a file, and every finding can be told as a test of the crate that it was found in.
//!
//! A finding is a panic: each module says what it holds to be true of the code it drives.

pub mod wire;
