/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What steer.bpf.c and its loader (crates/xdp/src/steer) share: map layouts, limits, and the causes
 * that verdicts are counted under. The crate's build script reads the #define and X() lines of this
 * file, so both sides are made from it; keep their form.
 */
#ifndef BYPATH_STEER_H
#define BYPATH_STEER_H

/* Ways to own an address: value of `owned`. */
#define OWN_ADDRESS 1
#define SHARED_PORTS 2

/* Addresses that can be owned, and of those the ones shared with the kernel by ports. */
#define MAX_OWNED 131072
#define MAX_SHARED 64

/* A bitmap of ports is kept for each protocol of a shared address: 64 Ki bits in words of 64. */
#define PORT_WORDS 1024
#define BITMAPS_PER_ADDRESS 2
#define BITMAP_TCP 0
#define BITMAP_UDP 1

/* Queues that can have a socket. */
#define MAX_QUEUES 256

/* Extension headers followed before a packet is taken as malformed. */
#define MAX_EXTENSIONS 8

/* Longest frame that takes the detour of queues without a socket, and the bytes that may wait there. */
#define STRAY_MAX 9234
#define STRAY_RING 2097152

/* Every verdict is counted under one of these: X(name) -> CAUSE_name, and its name in lower case. */
#define CAUSES(X) \
	X(REDIRECT_TCP) \
	X(REDIRECT_UDP) \
	X(REDIRECT_ICMP) \
	X(REDIRECT_ARP) \
	X(REDIRECT_NDP) \
	X(REDIRECT_STRAY) \
	X(PASS_NOT_OURS) \
	X(PASS_NOT_IP) \
	X(PASS_OTHER_PORT) \
	X(PASS_OTHER_PROTOCOL) \
	X(PASS_FRAGMENT) \
	X(PASS_MALFORMED) \
	X(PASS_NO_SOCKET) \
	X(DROP_PROTOCOL) \
	X(DROP_FRAGMENT) \
	X(DROP_MALFORMED) \
	X(DROP_NO_SOCKET) \
	X(DROP_STRAY)

#define AS_ENUM(name) CAUSE_##name,
enum cause { CAUSES(AS_ENUM) CAUSE_COUNT };

/* An IPv6 address, or an IPv4 address mapped into IPv6 (::ffff:a.b.c.d), in network order. */
struct owned_key {
	unsigned char address[16];
};

struct owned_value {
	unsigned int mode; /* OWN_ADDRESS or SHARED_PORTS */
	unsigned int slot; /* of SHARED_PORTS: which BITMAPS_PER_ADDRESS entries of `ports` */
};

/* A frame that came on a queue without a socket. */
struct stray {
	unsigned int queue;
	unsigned int len;
	unsigned char bytes[STRAY_MAX];
};

struct port_bitmap {
	unsigned long long words[PORT_WORDS];
};

#endif
