//! What the applications of the stack do with their sockets.

use std::net::{IpAddr, SocketAddr};

use super::flow::{own_byte, peer_byte};
use super::{LISTENING, World};
use crate::tape::Tape;

impl World {
    pub(super) fn listen(&mut self) {
        if self.listener.is_none() {
            let any: IpAddr = [0; 4].into();
            let listener = self.stack.listen(SocketAddr::new(any, LISTENING), 4);
            if self.fast_open {
                self.stack.set_fast_open(listener, 2);
            }
            self.listener = Some(listener);
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.active || slot.socket.is_some() {
            return;
        }
        // The port may be held by the connection before.
        let (peer, port) = (slot.flow.peer, slot.flow.stack.port());
        let opened = if self.fast_open {
            let first: Vec<u8> = (0..300).map(own_byte).collect();
            self.stack.connect_with_data(peer, port, &first)
        } else {
            self.stack.connect(peer, port).map(|socket| (socket, 0))
        };
        if let Ok((socket, given)) = opened {
            (slot.socket, slot.written, slot.read, slot.reads_from) = (Some(socket), given as u64, 0, None);
            (slot.peer_finished, slot.flow.peer_open) = (false, false);
            slot.flow.forget();
            (slot.flow.opening, slot.flow.shut) = (Some(given as u64), false);
            self.settle();
        }
    }

    pub(super) fn write(&mut self, index: usize, tape: &mut Tape<'_>) {
        let len = tape.one_of(&[1_usize, 100, 1_460, 4_000, 20_000, 0]);
        let slot = &mut self.slots[index];
        let Some(socket) = slot.socket else { return };
        let bytes: Vec<u8> = (slot.written..slot.written + len as u64).map(own_byte).collect();
        if let Ok(n) = self.stack.send(socket, &bytes) {
            slot.written += n as u64;
            slot.flow.wrote(n as u64);
        }
    }

    pub(super) fn read(&mut self, index: usize, tape: &mut Tape<'_>) {
        let len = tape.one_of(&[20_000_usize, 1, 100, 1_460, 0]);
        let slot = &mut self.slots[index];
        let Some(socket) = slot.socket else { return };
        let mut buffer = vec![0; len];
        let Ok(Some(n)) = self.stack.recv(socket, &mut buffer) else { return };
        if len > 0 && n == 0 {
            let aborted = self.stack.is_closed(socket);
            assert!(slot.peer_finished || aborted, "the end of a stream that has not ended");
        }
        // Bound once: a later connection on the same addresses is another one.
        if slot.active && slot.reads_from.is_none() && slot.read == 0 {
            slot.reads_from = slot.flow.irs;
        }
        if let Some(irs) = slot.reads_from {
            let first = irs + 1 + slot.read as u32;
            for (i, byte) in buffer[..n].iter().enumerate() {
                assert_eq!(*byte, peer_byte(first + i as u32), "wrong byte at {}", slot.read + i as u64);
            }
        }
        slot.read += n as u64;
    }

    pub(super) fn shut_down(&mut self, index: usize) {
        if let Some(socket) = self.slots[index].socket
            && self.stack.shutdown(socket).is_ok()
        {
            self.slots[index].flow.shut = true;
        }
    }

    pub(super) fn accept(&mut self, knows: bool) {
        let Some(listener) = self.listener else { return };
        while let Some(socket) = self.stack.accept(listener) {
            let (local, remote) = self.stack.addresses(socket).unwrap();
            let found = self.slots.iter_mut().find(|s| s.flow.stack == local && s.flow.peer == remote);
            let Some(slot) = found else {
                self.strays.push(socket);
                continue;
            };
            if let Some(old) = slot.socket.replace(socket) {
                self.stack.close(old);
            }
            // Another connection on these addresses may be on its way already, while this one waited.
            let knows = knows && slot.flow.accepts_last(self.cookies);
            (slot.written, slot.read) = (0, 0);
            slot.reads_from = if knows { slot.flow.irs } else { None };
            slot.flow.offered = if knows { Some(0) } else { None };
            slot.flow.shut = false;
        }
        for slot in &mut self.slots {
            slot.flow.drained();
        }
    }
}
