//! What the checksum costs: a payload of one full segment, whole headers, and the copy that sums against the
//! copy alone. All in the first-level cache, at the offsets where payloads really lie in a frame. Goal 4.

use std::hint::black_box;

use bypath_benches::{Figures, config};
use bypath_wire::checksum::{Sum, copy_and_sum};
use criterion::{Criterion, Throughput};
use smoltcp::wire::{IpAddress, TcpPacket};

/// Ethernet, IPv4 and TCP with timestamps: where a payload begins in its frame.
const PAYLOAD_OFFSET: usize = 14 + 20 + 32;

#[repr(align(4096))]
struct Page([u8; 8192]);

fn sums(c: &mut Criterion, figures: &Figures) {
    let page = Box::new(Page(std::array::from_fn(|index| (index * 31) as u8)));
    let mut group = c.benchmark_group("sum");
    for len in [20, 32, 40, 60, 64, 96, 128, 192, 256, 536, 1460, 4096] {
        let bytes = &page.0[PAYLOAD_OFFSET..PAYLOAD_OFFSET + len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |b| {
            figures.measure(b, &format!("sum of {len}"), |units| {
                (0..units).for_each(|_| _ = black_box(Sum::of(black_box(bytes))));
            });
        });
        if len == 1460 {
            group.bench_function("smoltcp, 1460", |b| {
                let (src, dst) = (IpAddress::v4(198, 18, 0, 1), IpAddress::v4(198, 18, 0, 2));
                figures.measure(b, "smoltcp's sum of 1460", |units| {
                    for _ in 0..units {
                        black_box(TcpPacket::new_unchecked(black_box(bytes)).verify_checksum(&src, &dst));
                    }
                });
            });
        }
    }
    group.finish();
}

fn copies(c: &mut Criterion, figures: &Figures) {
    let source = Box::new(Page(std::array::from_fn(|index| (index * 31) as u8)));
    let mut frame = Box::new(Page([0; 8192]));
    for len in [64, 536, 1460, 4096] {
        let mut group = c.benchmark_group(format!("copy {len}"));
        group.throughput(Throughput::Bytes(len as u64));
        // The second source follows one segment after the first, as in a stream.
        for (name, at) in [("aligned source", 0), ("stream", 1448)] {
            let src = &source.0[at..at + len];
            let dst = &mut frame.0[PAYLOAD_OFFSET..PAYLOAD_OFFSET + len];
            group.bench_function(format!("memcpy, {name}"), |b| {
                figures.measure(b, &format!("memcpy of {len}, {name}"), |units| {
                    (0..units).for_each(|_| black_box(&mut *dst).copy_from_slice(black_box(src)));
                });
            });
            group.bench_function(format!("copy_and_sum, {name}"), |b| {
                figures.measure(b, &format!("copy and sum of {len}, {name}"), |units| {
                    (0..units).for_each(|_| _ = copy_and_sum(black_box(src), black_box(&mut *dst)));
                });
            });
        }
        group.finish();
    }
}

fn main() {
    let mut c = config();
    let figures = Figures::default();
    sums(&mut c, &figures);
    copies(&mut c, &figures);
    c.final_summary();
    let tell = |ns: f64| format!("{:.1} GB/s", 1460.0 / ns);
    figures.print("sum of 1460", "smoltcp's sum of 1460", tell);
    for name in ["aligned source", "stream"] {
        figures.print(&format!("copy and sum of 1460, {name}"), &format!("memcpy of 1460, {name}"), tell);
    }
}
