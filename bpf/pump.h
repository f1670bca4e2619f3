/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What pump.bpf.c and its loader (crates/xdp/src/pump) share. The crate's build script reads the #define lines, so the
 * limits are the same on both sides; the structures are written down twice, and the loader asserts their offsets.
 */
#ifndef BYPATH_PUMP_H
#define BYPATH_PUMP_H

/* Rings that one pump can serve, each of one producer. */
#define PUMP_MAX_RINGS 64

/* Entries of a ring, a power of two. */
#define PUMP_SLOTS 2048

/* Bytes of a chunk of packet memory. */
#define PUMP_CHUNK 4096

/* Where a frame may begin in its chunk: below this, a power of two. The bits above are the producer's own. */
#define PUMP_OFFSETS 512

/* Longest frame, bytes. A live frame has one page, which also holds the kernel's own notes, the headroom (256) and
   the tail that an skb would need (320). */
#define PUMP_MAX_LEN 3328

/* Frames taken from one ring before the next has its turn. */
#define PUMP_BURST 32

/* Looks at all rings in one turn, when nothing waits to be flushed. */
#define PUMP_SPINS 64

/* A frame to be sent. */
struct pump_desc {
	unsigned int chunk;
	unsigned short offset;
	unsigned short len;
};

/* The ring of one producer. Each side writes a cache line of its own. */
struct pump_ring {
	unsigned long long producer; /* written by the producer: entries handed over */
	unsigned long long port; /* likewise: which entry of `ports` to send by */
	unsigned long long gap1[6];
	unsigned long long consumer; /* written by the pump: entries taken; the chunk is free again */
	unsigned long long refused; /* of these, how many made no sense or had no interface to go to */
	unsigned long long gap2[6];
	struct pump_desc slots[PUMP_SLOTS];
};

/* The pump's own. The kernel tells by a tracepoint what became of the frames. */
struct pump_state {
	unsigned long long turns; /* runs of the program */
	unsigned long long task; /* the thread that it runs in */
	unsigned long long unflushed; /* frames taken in this batch */
	unsigned long long from; /* the ring whose turn it is */
	unsigned long long burst; /* frames taken from it in succession */
	unsigned long long idle; /* turns without a frame */
	unsigned long long gap[2];
	unsigned long long sent; /* frames that drivers took */
	unsigned long long dropped; /* frames that drivers did not take */
	unsigned long long refused; /* frames that did not get as far as a driver */
	long long error; /* the latest errno, negative, of either */
};

#endif
