//! Two devices over one packet memory: the frame that one sends is the frame that the other receives. No wire, no
//! copy and no system call, so that what is measured above them is the engine alone. Both ends are driven in turn by
//! one thread; [`Device::wait`] returns at once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bypath_wire::ethernet::MacAddr;

use crate::device::{Attached, Bound, Device, DeviceInfo, DeviceStats, LINK_HEADERS};
use crate::frame::{Frame, RxBatch};
use crate::umem::UmemArea;

/// Bytes of a chunk; a packet fits one.
const CHUNK: u32 = 2048;

/// On the way to one end.
#[derive(Debug, Default)]
struct Lane {
    packets: VecDeque<Frame>,
    /// Empty frames, given back to where most are sent.
    spare: Vec<Frame>,
}

/// One end. See the module.
#[derive(Debug)]
pub struct DirectDevice {
    info: DeviceInfo,
    stats: DeviceStats,
    area: Arc<UmemArea>,
    /// Last in, first out: the frame used next is still in the cache.
    free: Vec<Frame>,
    /// More than this in the free list are the other end's.
    fair: usize,
    /// Sent, not flushed.
    pending: VecDeque<Frame>,
    /// Taken from the lane, not received.
    arrived: VecDeque<Frame>,
    to: Arc<Mutex<Lane>>,
    from: Arc<Mutex<Lane>>,
}

/// Two ends with `frames` frames each; packets are `mtu` bytes at most, 2,000 or so.
///
/// Errors: packet memory cannot be had, or the sizes make no sense.
pub fn pair(frames: u32, mtu: u32, macs: (MacAddr, MacAddr)) -> io::Result<(DirectDevice, DirectDevice)> {
    if mtu + LINK_HEADERS > CHUNK {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let area = UmemArea::map(frames * 2, CHUNK, 0, false)?;
    let (there, back) = (Arc::new(Mutex::new(Lane::default())), Arc::new(Mutex::new(Lane::default())));
    let end = |mac, range: std::ops::Range<u32>, to: &Arc<_>, from: &Arc<_>| DirectDevice {
        info: DeviceInfo {
            name: "direct".into(),
            mac,
            mtu,
            driver: "memory".into(),
            queues: vec![0],
            mode: Bound::Memory,
            attach: Attached::None,
            multi_buffer: false,
            max_packet_len: mtu + LINK_HEADERS,
            huge_pages: false,
            need_wakeup: false,
            busy_poll: false,
        },
        stats: DeviceStats::default(),
        free: range.rev().map(|index| Frame::new(area.id(), index)).collect(),
        fair: frames as usize,
        pending: VecDeque::with_capacity(frames as usize),
        arrived: VecDeque::with_capacity(frames as usize),
        area: area.clone(),
        to: Arc::clone(to),
        from: Arc::clone(from),
    };
    Ok((end(macs.0, 0..frames, &there, &back), end(macs.1, frames..frames * 2, &back, &there)))
}

impl Device for DirectDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn area(&self) -> &Arc<UmemArea> {
        &self.area
    }

    fn receive(&mut self, batch: &mut RxBatch) -> usize {
        if self.arrived.is_empty() {
            let mut lane = self.from.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut self.arrived, &mut lane.packets);
            self.free.append(&mut lane.spare);
        }
        let count = batch.room().min(self.arrived.len());
        for frame in self.arrived.drain(..count) {
            self.stats.rx_bytes += u64::from(frame.len);
            batch.push(frame);
        }
        self.stats.rx_packets += count as u64;
        count
    }

    #[inline]
    fn release(&mut self, frame: Frame) {
        self.free.push(frame);
    }

    #[inline]
    fn tx_room(&self) -> usize {
        self.free.len()
    }

    #[inline]
    fn alloc(&mut self) -> Option<Frame> {
        self.free.pop()
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) {
        self.stats.tx_packets += 1;
        self.stats.tx_bytes += u64::from(frame.len);
        self.pending.push_back(frame);
    }

    fn flush(&mut self) {
        if self.pending.is_empty() && self.free.len() <= self.fair {
            return;
        }
        let mut lane = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if lane.packets.is_empty() {
            std::mem::swap(&mut lane.packets, &mut self.pending);
        } else {
            lane.packets.append(&mut self.pending);
        }
        if self.free.len() > self.fair {
            lane.spare.extend(self.free.drain(self.fair..));
        }
    }

    fn wait(&mut self, _timeout: Option<Duration>, _wake: Option<BorrowedFd<'_>>) -> io::Result<()> {
        Ok(())
    }

    fn stats(&self) -> DeviceStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (DirectDevice, DirectDevice) {
        pair(8, 1500, (MacAddr([2; 6]), MacAddr([4; 6]))).expect("memory")
    }

    fn send(from: &mut DirectDevice, byte: u8) {
        let area = from.area().clone();
        let mut frame = from.alloc().expect("a frame");
        area.bytes_mut(&mut frame)[..100].fill(byte);
        frame.set_len(100);
        from.transmit(frame);
    }

    #[test]
    fn what_one_end_sends_the_other_receives_in_order() {
        let (mut a, mut b) = ends();
        send(&mut a, 1);
        send(&mut a, 2);
        a.flush();
        let mut batch = RxBatch::with_capacity(64);
        assert_eq!(b.receive(&mut batch), 2);
        let first: Vec<u8> = batch.frames().iter().map(|frame| b.area().bytes(frame)[0]).collect();
        assert_eq!(first, [1, 2]);
    }

    #[test]
    fn frames_do_not_run_out_at_the_end_that_sends_all_the_time() {
        let (mut a, mut b) = ends();
        let mut batch = RxBatch::with_capacity(64);
        for round in 0..100 {
            while a.tx_room() > 0 {
                send(&mut a, round);
            }
            a.flush();
            assert!(b.receive(&mut batch) > 0, "round {round}");
            for frame in batch.drain() {
                b.release(frame);
            }
            b.flush();
            let mut none = RxBatch::with_capacity(1);
            assert_eq!(a.receive(&mut none), 0);
        }
        assert_eq!((a.tx_room(), b.tx_room()), (8, 8));
    }
}
