//! A device whose packets a tap has: for commands that send and receive frames without the engine.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use bypath::tap::{TapInterface, TapSink, TapWriter};
use bypath_xdp::{Device, DeviceInfo, DeviceStats, Frame, RxBatch, UmemArea};

use crate::blast::clock::now_ns;

/// Frames of the longest packet.
const MOST_FRAMES: usize = 32;

/// The writer for `device`, of worker number `worker`; `speed` in bits a second, where it is known.
pub(crate) fn tapped_writer(
    device: &dyn Device,
    sink: &TapSink,
    worker: usize,
    speed: Option<u64>,
) -> TapWriter {
    let info = device.info();
    let number = sink.interface(&TapInterface {
        name: info.name.clone(),
        mac: info.mac.0,
        driver: info.driver.clone(),
        mtu: info.mtu,
        speed,
        mode: info.mode.to_string(),
        xdp: info.attach.to_string(),
    });
    let now = Instant::now();
    let epoch = now.checked_sub(Duration::from_nanos(now_ns())).unwrap_or(now);
    sink.writer(number, worker, epoch)
}

/// See the module.
pub(crate) struct TappedDevice<'d> {
    device: &'d mut dyn Device,
    area: Arc<UmemArea>,
    tap: TapWriter,
    /// The beginning of a packet whose last frame has not come yet.
    begun: Vec<Frame>,
}

impl<'d> TappedDevice<'d> {
    pub(crate) fn new(device: &'d mut dyn Device, mut tap: TapWriter) -> Self {
        tap.begin(now_ns());
        let area = device.area().clone();
        Self { device, area, tap, begun: Vec::with_capacity(MOST_FRAMES) }
    }

    fn hand_over(&mut self) {
        self.tap.handed_over(now_ns());
    }
}

impl Device for TappedDevice<'_> {
    fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    fn area(&self) -> &Arc<UmemArea> {
        &self.area
    }

    fn receive(&mut self, batch: &mut RxBatch) -> usize {
        let before = batch.len();
        let count = self.device.receive(batch);
        if count == 0 {
            return 0;
        }
        let now = now_ns();
        let mut frames = batch.frames().get(before..).unwrap_or_default().iter();
        while let Some(first) = frames.next() {
            let mut rest: ArrayVec<&[u8], MOST_FRAMES> = ArrayVec::new();
            let mut more = first.more();
            while more && let Some(next) = frames.next() {
                more = next.more();
                let _ = rest.try_push(self.area.bytes(next));
            }
            self.tap.received(now, first.queue(), self.area.bytes(first), &rest);
        }
        count
    }

    fn release(&mut self, frame: Frame) {
        self.device.release(frame);
    }

    fn tx_room(&self) -> usize {
        self.device.tx_room().saturating_sub(self.begun.len())
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.device.alloc()
    }

    fn transmit(&mut self, frame: Frame) {
        let ends = !frame.more();
        self.begun.push(frame);
        if !ends {
            return;
        }
        let area = &self.area;
        if let Some((first, rest)) = self.begun.split_first() {
            self.tap.sent(first.queue(), area.bytes(first), rest.iter().map(|frame| area.bytes(frame)));
        }
        for frame in self.begun.drain(..) {
            self.device.transmit(frame);
        }
    }

    fn flush(&mut self) {
        self.hand_over();
        self.device.flush();
        self.tap.begin(now_ns());
    }

    fn has_unsent(&self) -> bool {
        self.device.has_unsent()
    }

    fn wait(&mut self, timeout: Option<Duration>, wake: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.hand_over();
        let now = now_ns();
        self.tap.asleep();
        let outcome = self.device.wait(timeout, wake);
        self.tap.awake(now);
        outcome
    }

    fn stats(&self) -> DeviceStats {
        self.device.stats()
    }
}

impl Drop for TappedDevice<'_> {
    fn drop(&mut self) {
        self.hand_over();
        for frame in self.begun.drain(..) {
            self.device.release(frame);
        }
    }
}
