//! Packets out through a device: frames taken, filled and queued.

use arrayvec::ArrayVec;
use bypath_tcp::Instant;
use bypath_xdp::{Device, Frame, UmemArea};

use crate::packet::{Egress, MAX_CHUNKS, RxPacket, TxPacket};
use crate::tap::{Note, TapWriter};

/// A device to send with.
pub(crate) struct DeviceEgress<'d, D> {
    device: &'d mut D,
    area: &'d UmemArea,
    /// Has a copy of every packet.
    tap: Option<&'d mut TapWriter>,
}

impl<'d, D: Device> DeviceEgress<'d, D> {
    pub(crate) fn new(device: &'d mut D, area: &'d UmemArea, tap: Option<&'d mut TapWriter>) -> Self {
        Self { device, area, tap }
    }

    /// A packet has come, and is to be looked at next.
    pub(crate) fn begin(&mut self, now: Instant, queue: u16, packet: &RxPacket<'_>) -> bool {
        let Some(tap) = &mut self.tap else { return false };
        tap.received(now.as_nanos(), queue, packet.head, &packet.rest);
        true
    }

    /// What became of it.
    pub(crate) fn end(&mut self, cause: u8, note: Note) {
        if let Some(tap) = &mut self.tap {
            tap.judge(cause, note);
        }
    }

    fn frames_for(&self, len: usize) -> usize {
        len.div_ceil(self.area.chunk_size())
    }

    #[inline]
    fn send_whole(&mut self, len: usize, queue: u16, build: impl FnOnce(&mut TxPacket<'_, '_>)) -> bool {
        if self.device.tx_room() == 0 {
            return false;
        }
        let Some(mut frame) = self.device.alloc() else { return false };
        frame.set_len(len as u32);
        frame.set_queue(queue);
        let bytes = self.area.bytes_mut(&mut frame);
        let Some(head) = bytes.get_mut(..len) else {
            self.device.release(frame);
            return false;
        };
        build(&mut TxPacket { head, rest: &mut [] });
        if let Some(tap) = &mut self.tap {
            tap.sent(queue, head, std::iter::empty());
        }
        self.device.transmit(frame);
        true
    }

    fn send_split(&mut self, len: usize, queue: u16, build: impl FnOnce(&mut TxPacket<'_, '_>)) -> bool {
        let count = self.frames_for(len);
        if count > MAX_CHUNKS + 1 || self.device.tx_room() < count {
            return false;
        }
        let mut frames: ArrayVec<Frame, { MAX_CHUNKS + 1 }> = ArrayVec::new();
        let mut left = len;
        for i in 0..count {
            let Some(mut frame) = self.device.alloc() else {
                for frame in frames {
                    self.device.release(frame);
                }
                return false;
            };
            let here = left.min(self.area.chunk_size());
            left -= here;
            frame.set_len(here as u32);
            frame.set_queue(queue);
            frame.set_more(i + 1 < count);
            frames.push(frame);
        }
        {
            let mut chunks: ArrayVec<&mut [u8], { MAX_CHUNKS + 1 }> = ArrayVec::new();
            for frame in &mut frames {
                let len = frame.len();
                let bytes = self.area.bytes_mut(frame);
                let len = len.min(bytes.len());
                chunks.push(&mut bytes[..len]);
            }
            if let Some((head, rest)) = chunks.split_first_mut() {
                build(&mut TxPacket { head, rest });
                if let Some(tap) = &mut self.tap {
                    tap.sent(queue, head, rest.iter().map(|piece| &**piece));
                }
            }
        }
        for frame in frames {
            self.device.transmit(frame);
        }
        true
    }
}

impl<D: Device> Egress for DeviceEgress<'_, D> {
    #[inline]
    fn room(&self, len: usize) -> usize {
        let frames = self.device.tx_room();
        if len <= self.area.chunk_size() { frames } else { frames / self.frames_for(len) }
    }

    #[inline]
    fn send(&mut self, len: usize, queue: u16, build: impl FnOnce(&mut TxPacket<'_, '_>)) -> bool {
        let sent = if len > self.area.chunk_size() {
            self.send_split(len, queue, build)
        } else {
            self.send_whole(len, queue, build)
        };
        if let (Some(tap), false) = (&mut self.tap, sent) {
            // It was about this packet.
            tap.note(Note::None, 0);
        }
        sent
    }

    fn is_watched(&self) -> bool {
        self.tap.is_some()
    }

    fn note(&mut self, note: Note, cause: u8) {
        if let Some(tap) = &mut self.tap {
            tap.note(note, cause);
        }
    }
}
