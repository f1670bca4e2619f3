//! One connection as the protocols of the load patterns see it: the engine's, or one by hand in a test.

use std::sync::Arc;

use bypath::{SendSource, ServiceConnection};

/// What a protocol may do with its connection.
pub(super) trait Wire {
    /// Bytes that [`Wire::write`] would take now.
    fn room(&mut self) -> usize;

    /// Copies bytes to be sent; as many as there is room for, which is returned.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Sends all of a source, which is read when its segments are built.
    fn send(&mut self, source: Arc<dyn SendSource>);

    /// Bytes given and not acknowledged yet.
    fn outstanding(&self) -> u64;

    /// Received bytes that wait for a sink: the peer may send that much less.
    fn set_unread(&mut self, bytes: usize);

    /// No more will be sent.
    fn close(&mut self);
}

/// The engine's connection. It counts what is given to be sent, so that what is acknowledged is known.
pub(super) struct Line<'a, 'b> {
    connection: &'a mut ServiceConnection<'b>,
    queued: &'a mut u64,
}

impl<'a, 'b> Line<'a, 'b> {
    pub(super) fn new(connection: &'a mut ServiceConnection<'b>, queued: &'a mut u64) -> Self {
        Self { connection, queued }
    }
}

impl Wire for Line<'_, '_> {
    fn room(&mut self) -> usize {
        self.connection.room()
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = self.connection.write(bytes);
        *self.queued += taken as u64;
        taken
    }

    fn send(&mut self, source: Arc<dyn SendSource>) {
        *self.queued += source.len();
        self.connection.send(source);
    }

    fn outstanding(&self) -> u64 {
        self.connection.outstanding()
    }

    fn set_unread(&mut self, bytes: usize) {
        self.connection.set_unread(bytes);
    }

    fn close(&mut self) {
        self.connection.close();
    }
}

/// Sends all of `bytes`: copied if there is room, else as a source of their own.
pub(super) fn send_all(wire: &mut dyn Wire, bytes: &Arc<Vec<u8>>) {
    if wire.room() < bytes.len() || wire.write(bytes) < bytes.len() {
        wire.send(bytes.clone());
    }
}

#[cfg(test)]
pub(super) mod by_hand {
    use super::*;

    /// A connection that keeps what is written.
    #[derive(Default)]
    pub(in crate::load) struct Paper {
        pub(in crate::load) written: Vec<u8>,
        pub(in crate::load) acknowledged: u64,
        pub(in crate::load) unread: usize,
        pub(in crate::load) closed: bool,
    }

    impl Wire for Paper {
        fn room(&mut self) -> usize {
            1 << 16
        }
        fn write(&mut self, bytes: &[u8]) -> usize {
            let n = bytes.len().min(self.room());
            self.written.extend_from_slice(&bytes[..n]);
            n
        }
        fn send(&mut self, source: Arc<dyn SendSource>) {
            let mut at = 0;
            while at < source.len() {
                let bytes = source.bytes_at(at);
                self.written.extend_from_slice(bytes);
                at += bytes.len() as u64;
            }
        }
        fn outstanding(&self) -> u64 {
            self.written.len() as u64 - self.acknowledged
        }
        fn set_unread(&mut self, bytes: usize) {
            self.unread = bytes;
        }
        fn close(&mut self) {
            self.closed = true;
        }
    }
}
