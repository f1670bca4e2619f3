//! The forms in which packets are printed.

pub mod conversations;
pub mod fields;
pub mod follow;
pub mod ipformat;
mod names;
pub(crate) mod page;
pub mod tcpdump;

pub use names::Names;

use std::io::{self, Write};

use crate::read::Interface;
use crate::record::Record;

/// A form in which packets are printed. `bypath decode` calls [`begin`](Style::begin) once, [`record`](Style::record) for
/// each packet, and [`end`](Style::end) once, also when the capture turned out to be damaged.
pub trait Style {
    /// What comes before the first packet.
    ///
    /// # Errors
    /// When it cannot be written.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let _ = out;
        Ok(())
    }

    /// The interfaces of the capture, as far as it has told of them. Comes before the first packet that is of a new one.
    fn interfaces(&mut self, interfaces: &[Interface]) {
        let _ = interfaces;
    }

    /// A packet.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()>;

    /// The capture ended in this, as it was told to the user.
    ///
    /// # Errors
    /// When it cannot be written.
    fn failed(&mut self, error: &str, out: &mut dyn Write) -> io::Result<()> {
        let _ = (error, out);
        Ok(())
    }

    /// What comes after the last packet.
    ///
    /// # Errors
    /// When it cannot be written.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let _ = out;
        Ok(())
    }
}
