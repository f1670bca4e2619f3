//! What the checksum costs: a payload of one full segment, whole headers, and the copy that sums against the
//! copy alone. All in the first-level cache, at the offsets where payloads really lie in a frame.

use std::hint::black_box;
use std::time::Duration;

use bypath_wire::checksum::{Sum, copy_and_sum};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Ethernet, IPv4 and TCP with timestamps: where a payload begins in its frame.
const PAYLOAD_OFFSET: usize = 14 + 20 + 32;

#[repr(align(4096))]
struct Page([u8; 8192]);

fn sums(c: &mut Criterion) {
    let page = Box::new(Page(std::array::from_fn(|index| (index * 31) as u8)));
    let mut group = c.benchmark_group("sum");
    for len in [20, 32, 40, 60, 64, 96, 128, 192, 256, 536, 1460, 4096] {
        let bytes = &page.0[PAYLOAD_OFFSET..PAYLOAD_OFFSET + len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |b| b.iter(|| Sum::of(black_box(bytes))));
    }
    group.finish();
}

fn copies(c: &mut Criterion) {
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
                b.iter(|| black_box(&mut *dst).copy_from_slice(black_box(src)));
            });
            group.bench_function(format!("copy_and_sum, {name}"), |b| {
                b.iter(|| copy_and_sum(black_box(src), black_box(&mut *dst)));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = checksum;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40);
    targets = sums, copies
}
criterion_main!(checksum);
