// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
//
// Frames out of user memory without skb and without system call.
//
// bpf_prog_test_run keeps this program running in "live frames" mode (BPF_F_TEST_XDP_LIVE_FRAMES): each run has a page of
// the kernel's, which takes a frame from a producer's ring and is redirected out of an interface by the driver's
// ndo_xdp_xmit. A frame leaves when its batch of runs ends, or when sixteen are together. A run that finds nothing
// gives its page back. There is one call for all producers and interfaces, and nothing else writes what is the
// pump's, so nothing here is atomic.
//
// What the drivers did with the frames is told by two tracepoints, so no frame disappears without being counted.

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "pump.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader makes room for all producers' chunks */
	__type(key, __u32);
	__uint(value_size, PUMP_CHUNK);
} chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* likewise */
	__type(key, __u32);
	__type(value, struct pump_ring);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pump_state);
} state SEC(".maps");

/* Interfaces to send by. An entry goes by itself when its interface does. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PUMP_MAX_RINGS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* Set by the loader. */
const volatile struct {
	__u32 rings; /* how many there are */
	__u32 batch; /* runs of a batch, a power of two */
} settings;

struct search {
	__u32 from;
	__u32 found;
};

/* Finds a ring with something on it; asked again and again by bpf_loop. */
static long look(__u32 spin, struct search *search)
{
	__u32 at = search->from;

	for (__u32 step = 0; step < PUMP_MAX_RINGS && step < settings.rings; step++, at++) {
		if (at >= settings.rings)
			at = 0;
		__u32 key = at;
		struct pump_ring *ring = bpf_map_lookup_elem(&rings, &key);
		if (ring && ring->consumer != *(volatile __u64 *)&ring->producer) {
			search->found = at;
			return 1;
		}
	}
	return 0;
}

SEC("xdp")
int pump(struct xdp_md *ctx)
{
	const __u32 zero = 0;
	struct pump_state *s = bpf_map_lookup_elem(&state, &zero);
	if (!s)
		return XDP_DROP;
	if (!(s->turns & (settings.batch - 1))) {
		/* The batch before this one has been flushed. */
		s->unflushed = 0;
		s->task = bpf_get_current_task();
	}
	s->turns++;

	if (s->burst >= PUMP_BURST) {
		s->burst = 0;
		s->from++;
	}
	if (s->from >= settings.rings)
		s->from = 0;
	struct search search = { .from = s->from, .found = PUMP_MAX_RINGS };
	/* An idle turn costs about 50 ns, so look longer in each, but not while frames wait for the batch to end. */
	if (!look(0, &search) && !s->unflushed)
		bpf_loop(PUMP_SPINS, look, &search, 0);
	__u32 at = search.found;
	struct pump_ring *ring = bpf_map_lookup_elem(&rings, &at);
	if (!ring) {
		s->idle++;
		return XDP_DROP;
	}
	if (at != s->from) {
		s->from = at;
		s->burst = 0;
	}
	s->burst++;

	__u64 next = ring->consumer;
	struct pump_desc *desc = &ring->slots[next & (PUMP_SLOTS - 1)];
	__u32 key = desc->chunk;
	__u32 offset = desc->offset & (PUMP_OFFSETS - 1);
	__u32 len = desc->len;
	__u8 *chunk = bpf_map_lookup_elem(&chunks, &key);
	int have = (long)ctx->data_end - (long)ctx->data;
	int stored = -1;

	if (chunk && len >= 14 && len <= PUMP_MAX_LEN &&
	    (have == (int)len || !bpf_xdp_adjust_tail(ctx, (int)len - have)))
		stored = bpf_xdp_store_bytes(ctx, 0, chunk + offset, len);
	__u32 port = ring->port;
	/* From here on the producer may write to the chunk and the slot again. */
	*(volatile __u64 *)&ring->consumer = next + 1;
	if (stored || bpf_redirect_map(&ports, port, XDP_DROP) != XDP_REDIRECT) {
		ring->refused++;
		return XDP_DROP;
	}
	s->unflushed++;
	return XDP_REDIRECT;
}

static struct pump_state *ours(void)
{
	const __u32 zero = 0;
	struct pump_state *s = bpf_map_lookup_elem(&state, &zero);

	return s && s->task == bpf_get_current_task() ? s : 0;
}

/* (from, to, sent, drops, err) of each bulk that was given to a driver. */
SEC("raw_tp/xdp_devmap_xmit")
int given_to_driver(struct bpf_raw_tracepoint_args *ctx)
{
	struct pump_state *s = ours();

	if (!s)
		return 0;
	int sent = ctx->args[2], dropped = ctx->args[3], error = ctx->args[4];
	if (sent > 0)
		s->sent += sent;
	if (dropped > 0) {
		s->dropped += dropped;
		s->error = error;
	}
	return 0;
}

/*
 * (from, program, target, err, type of map, …) of a frame that no driver was asked to take. Softirqs of this core run in the
 * pump's thread too: what is lost there on the way to an AF_XDP socket is not the pump's.
 */
SEC("raw_tp/xdp_redirect_err")
int not_redirected(struct bpf_raw_tracepoint_args *ctx)
{
	struct pump_state *s = ours();

	if (!s || ctx->args[4] != BPF_MAP_TYPE_DEVMAP)
		return 0;
	s->refused++;
	s->error = (int)ctx->args[3];
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
