//! What is counted, and the counts by second.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finite;

/// Declares a structure of optional numbers whose fields can be gone through by name, so that no exporter has a list of
/// its own that could be out of date.
macro_rules! numbers {
    ($(#[$head:meta])* $name:ident: $type:ty { $($(#[$doc:meta])* $field:ident,)* } $($rest:tt)*) => {
        $(#[$head])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            $($rest)*
        }

        impl $name {
            /// The names of all fields that are plain numbers, in the order of the document.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The fields that were measured, with their names.
            pub fn measured(&self) -> impl Iterator<Item = (&'static str, $type)> {
                [$((stringify!($field), self.$field)),*]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
            }

            /// The number called `name`, if there is one and it was measured.
            pub fn get(&self, name: &str) -> Option<$type> {
                match name {
                    $(stringify!($field) => self.$field,)*
                    _ => None,
                }
            }

            #[allow(dead_code, reason = "not every structure of numbers is summed")]
            fn add_numbers(&mut self, other: &Self) {
                $(
                    if let Some(more) = other.$field {
                        self.$field = Some(self.$field.unwrap_or_default() + more);
                    }
                )*
            }
        }
    };
}

numbers! {
    /// Counts. Payload bytes are those that an application has seen or written; segments and packets are on the wire.
    Totals: u64 {
        /// Connections whose handshake was started.
        connections_attempted,
        /// Connections that were established.
        connections_opened,
        /// Connections that could not be opened.
        connections_failed,
        /// Connections that ended, by either side, after they had been established.
        connections_closed,
        /// Of those, the ones that ended by a reset.
        connections_reset,
        /// Connections that were open at the end.
        connections_open_at_end,
        /// Requests that were answered completely and correctly.
        requests,
        /// Requests that were begun.
        requests_started,
        /// Requests that failed, for whatever cause.
        requests_failed,
        /// Files transferred completely and correctly.
        files,
        /// Payload bytes sent and acknowledged.
        bytes_sent,
        /// Payload bytes received, in order.
        bytes_received,
        /// Of those, the ones compared with what they should have been.
        bytes_verified,
        /// Payload bytes received that were not what they should have been.
        bytes_corrupt,
        /// TCP segments sent, all of them.
        segments_sent,
        /// TCP segments received, all of them.
        segments_received,
        /// TCP segments sent again.
        segments_retransmitted,
        /// TCP segments received out of order.
        segments_reordered,
        /// TCP segments received twice.
        segments_duplicated,
        /// TCP segments that the sender had to give up for lost.
        segments_lost,
        /// Retransmission timeouts.
        retransmission_timeouts,
        /// Packets sent, of any protocol.
        packets_sent,
        /// Packets received, of any protocol.
        packets_received,
        /// Packets that were sent and did not arrive, where both ends are known.
        packets_lost,
        /// Packets that arrived out of order.
        packets_reordered,
        /// Packets that arrived more than once.
        packets_duplicated,
        /// Packets that arrived damaged.
        packets_corrupt,
        /// Bytes on the wire sent: Ethernet frames without preamble, gap and FCS.
        wire_bytes_sent,
        /// Bytes on the wire received, counted alike.
        wire_bytes_received,
    }
    /// Errors by cause: `connection_refused`, `reset_by_peer`, `stalled`, `closed_early`, `wrong_content` …; HTTP statuses as
    /// `http_4xx`, `http_5xx` and `http_other`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds another part's counts. What neither part has measured stays absent.
    pub fn add(&mut self, other: &Totals) {
        self.add_numbers(other);
        for (cause, count) in &other.errors {
            *self.errors.entry(cause.clone()).or_default() += count;
        }
    }

    /// Counts an error.
    pub fn error(&mut self, cause: &str, count: u64) {
        if count > 0 {
            *self.errors.entry(cause.to_owned()).or_default() += count;
        }
    }

    /// All errors.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

numbers! {
    /// Counts by second. Bits are payload bits: goodput.
    Rates: f64 {
        /// Payload sent and acknowledged, bits per second.
        goodput_sent_bits_per_second,
        /// Payload received, bits per second.
        goodput_received_bits_per_second,
        /// Frames sent, bits per second, without preamble, gap and FCS.
        wire_sent_bits_per_second,
        /// Frames received, counted alike.
        wire_received_bits_per_second,
        /// Requests answered per second.
        requests_per_second,
        /// Connections opened per second.
        connections_per_second,
        /// Files transferred per second.
        files_per_second,
        /// Packets per second, sent and received together.
        packets_per_second,
        /// Packets sent per second.
        packets_sent_per_second,
        /// Packets received per second.
        packets_received_per_second,
        /// Share of the segments sent that were retransmissions, 0 to 1. A ratio, not a rate.
        retransmitted_ratio,
    }
}

impl Rates {
    /// The rates that follow from counts over that many seconds; none if no time has passed.
    pub fn of(totals: &Totals, seconds: f64) -> Rates {
        if !seconds.is_finite() || seconds <= 0.0 {
            return Rates::default();
        }
        let per_second = |count: Option<u64>| count.and_then(|count| finite(count as f64 / seconds));
        let bits = |bytes: Option<u64>| bytes.and_then(|bytes| finite(bytes as f64 * 8.0 / seconds));
        let packets = match (totals.packets_sent, totals.packets_received) {
            (None, None) => None,
            (sent, received) => Some(sent.unwrap_or(0) + received.unwrap_or(0)),
        };
        let retransmitted = match (totals.segments_retransmitted, totals.segments_sent) {
            (Some(again), Some(all)) if all > 0 => Some(again as f64 / all as f64),
            _ => None,
        };
        Rates {
            goodput_sent_bits_per_second: bits(totals.bytes_sent),
            goodput_received_bits_per_second: bits(totals.bytes_received),
            wire_sent_bits_per_second: bits(totals.wire_bytes_sent),
            wire_received_bits_per_second: bits(totals.wire_bytes_received),
            requests_per_second: per_second(totals.requests),
            connections_per_second: per_second(totals.connections_opened),
            files_per_second: per_second(totals.files),
            packets_per_second: per_second(packets),
            packets_sent_per_second: per_second(totals.packets_sent),
            packets_received_per_second: per_second(totals.packets_received),
            retransmitted_ratio: retransmitted,
        }
    }
}
