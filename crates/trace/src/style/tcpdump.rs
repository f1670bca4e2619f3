//! The lines of tcpdump.

use std::io::{self, Write};

use super::Style;
use crate::layers::{Transport, dissect};
use crate::record::Record;

/// The style.
#[derive(Debug, Default)]
pub struct Tcpdump {}

impl Style for Tcpdump {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        let packet = dissect(record.link, record.data);
        let Some((source, destination)) = packet.network.addresses() else {
            return writeln!(out, "{:?}", packet.network);
        };
        match packet.transport {
            Transport::Tcp(tcp) => writeln!(
                out,
                "IP {source}.{} > {destination}.{}: seq {}, ack {}, win {}, length {}",
                tcp.source, tcp.destination, tcp.sequence, tcp.acknowledgment, tcp.window, packet.payload_len
            ),
            other => writeln!(out, "IP {source} > {destination}: {other:?}"),
        }
    }
}
