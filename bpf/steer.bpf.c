// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
//
// Which packets leave the kernel's path for the engine's sockets.
//
// An address is owned in one of two ways. OWN_ADDRESS: everything for it goes to the engine - TCP, UDP,
// ICMP, the ARP requests and replies that carry it as target, neighbour solicitations for it - and what
// the engine cannot use is dropped, because nobody else may answer for the address. SHARED_PORTS: the
// kernel keeps the address and its ARP, NDP and ICMP; only TCP and UDP to chosen ports are the engine's,
// and what is in doubt passes. An ICMP error that quotes a flow on a shared address therefore stays with
// the kernel: XDP cannot give a packet to both.
//
// The cost of a packet that is not ours is one hash lookup, whatever the number of owned addresses.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_OWNED);
	__type(key, struct owned_key);
	__type(value, struct owned_value);
} owned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_SHARED * BITMAPS_PER_ADDRESS);
	__type(key, __u32);
	__type(value, struct port_bitmap);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CAUSE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Whether somebody reads `strays`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} strays_are_read SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STRAY_RING);
} strays SEC(".maps");

/* Where a frame is put together on its way there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stray);
} scratch SEC(".maps");

#define ETHERNET_LEN 14
#define VLAN_TAG_LEN 4
#define ARP_LEN 28
#define IPV4_MIN_LEN 20
#define IPV6_LEN 40
#define MIN_TCP_LEN 20
#define UDP_LEN 8
#define FRAGMENT_BITS 0x3fff /* more-fragments and the offset */

#define PROTOCOL_ICMPV6 58
#define ICMPV6_NEIGHBOUR_SOLICITATION 135
#define SOLICITATION_LEN 24

/* IPv6 extension headers (RFC 8200 section 4; AH: RFC 4302; mobility, HIP and shim6: RFC 7045 section 4). */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY 135
#define NEXT_HIP 139
#define NEXT_SHIM6 140

struct ipv4 {
	__u8 version_ihl, tos;
	__be16 total_len, id, fragment;
	__u8 ttl, protocol;
	__be16 checksum;
	__u8 source[4], destination[4];
};

struct ipv6 {
	__u8 version, flow[3];
	__be16 payload_len;
	__u8 next_header, hop_limit;
	__u8 source[16], destination[16];
};

struct arp {
	__be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
};

static __always_inline int verdict(enum cause cause, int action)
{
	__u32 key = cause;
	__u64 *count = bpf_map_lookup_elem(&counters, &key);

	if (count)
		(*count)++;
	return action;
}

static __always_inline int pass(enum cause cause)
{
	return verdict(cause, XDP_PASS);
}

static __always_inline int drop(enum cause cause)
{
	return verdict(cause, XDP_DROP);
}

/*
 * Queues that were added after the engine had opened its sockets have none, and a socket takes nothing from other
 * queues. The frame is copied to user space another way, where somebody looks for it. Negative: nobody does.
 */
static __noinline int detour(struct xdp_md *ctx)
{
	const __u32 zero = 0;
	__u32 *read = bpf_map_lookup_elem(&strays_are_read, &zero);
	struct stray *stray = bpf_map_lookup_elem(&scratch, &zero);
	__u64 len = bpf_xdp_get_buff_len(ctx);

	if (!read || !*read || !stray)
		return -1;
	if (len < ETHERNET_LEN || len > STRAY_MAX)
		return drop(CAUSE_DROP_STRAY);
	stray->queue = ctx->rx_queue_index;
	stray->len = len;
	if (bpf_xdp_load_bytes(ctx, 0, stray->bytes, len) ||
	    bpf_ringbuf_output(&strays, stray, len + __builtin_offsetof(struct stray, bytes), 0))
		return drop(CAUSE_DROP_STRAY);
	/* It has left the kernel's path, though not by a socket. */
	return verdict(CAUSE_REDIRECT_STRAY, XDP_DROP);
}

/* To the socket of this queue. Without one, a shared packet is the kernel's; an own one is nobody's. */
static __always_inline int redirect(struct xdp_md *ctx, const struct owned_value *owner, enum cause cause)
{
	int action = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);

	if (action == XDP_REDIRECT)
		return verdict(cause, action);
	action = detour(ctx);
	if (action >= 0)
		return action;
	if (owner->mode == OWN_ADDRESS)
		return drop(CAUSE_DROP_NO_SOCKET);
	return pass(CAUSE_PASS_NO_SOCKET);
}

static __always_inline int malformed(const struct owned_value *owner)
{
	if (owner && owner->mode == OWN_ADDRESS)
		return drop(CAUSE_DROP_MALFORMED);
	return pass(CAUSE_PASS_MALFORMED);
}

static __always_inline int fragment(const struct owned_value *owner)
{
	if (owner->mode == OWN_ADDRESS)
		return drop(CAUSE_DROP_FRAGMENT);
	return pass(CAUSE_PASS_FRAGMENT);
}

static __always_inline struct owned_value *owner_of_v4(const __u8 address[4])
{
	struct owned_key key = { .address = { [10] = 0xff, [11] = 0xff } };

	__builtin_memcpy(&key.address[12], address, 4);
	return bpf_map_lookup_elem(&owned, &key);
}

static __always_inline struct owned_value *owner_of_v6(const __u8 address[16])
{
	struct owned_key key;

	__builtin_memcpy(key.address, address, 16);
	return bpf_map_lookup_elem(&owned, &key);
}

static __always_inline int port_is_ours(const struct owned_value *owner, __u32 bitmap, __u16 port)
{
	__u32 key = owner->slot * BITMAPS_PER_ADDRESS + bitmap;
	struct port_bitmap *map = bpf_map_lookup_elem(&ports, &key);

	return map && (map->words[(port >> 6) & (PORT_WORDS - 1)] >> (port & 63) & 1);
}

/* The transport header begins at `offset`, and the packet, by its IP header, ends at `end`. */
static __always_inline int transport(struct xdp_md *ctx, const struct owned_value *owner, __u8 protocol,
				     __u32 offset, __u32 end)
{
	__u32 least = protocol == IPPROTO_TCP ? MIN_TCP_LEN : UDP_LEN;
	enum cause cause = protocol == IPPROTO_TCP ? CAUSE_REDIRECT_TCP : CAUSE_REDIRECT_UDP;
	__be16 pair[2];

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) {
		if (owner->mode == OWN_ADDRESS)
			return drop(CAUSE_DROP_PROTOCOL);
		return pass(CAUSE_PASS_OTHER_PROTOCOL);
	}
	if (offset + least > end)
		return malformed(owner);
	if (owner->mode == OWN_ADDRESS)
		return redirect(ctx, owner, cause);
	if (bpf_xdp_load_bytes(ctx, offset, pair, sizeof(pair)))
		return malformed(owner);
	if (!port_is_ours(owner, protocol == IPPROTO_TCP ? BITMAP_TCP : BITMAP_UDP, bpf_ntohs(pair[1])))
		return pass(CAUSE_PASS_OTHER_PORT);
	return redirect(ctx, owner, cause);
}

static __always_inline int steer_arp(struct xdp_md *ctx, void *at, void *end)
{
	struct arp *arp = at;
	struct owned_value *owner;

	if (at + ARP_LEN > end)
		return pass(CAUSE_PASS_MALFORMED);
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_len != 6 ||
	    arp->protocol_len != 4)
		return pass(CAUSE_PASS_NOT_IP);
	/* A reply comes to the MAC address that kernel and engine share: the target address tells whose it is. */
	owner = owner_of_v4(arp->target_ip);
	if (!owner || owner->mode != OWN_ADDRESS)
		return pass(CAUSE_PASS_NOT_OURS);
	return redirect(ctx, owner, CAUSE_REDIRECT_ARP);
}

static __always_inline int steer_ipv4(struct xdp_md *ctx, void *at, void *end, __u32 link_len)
{
	struct ipv4 *ip = at;
	struct owned_value *owner;
	__u32 header_len, total_len;

	if (at + sizeof(*ip) > end)
		return pass(CAUSE_PASS_MALFORMED);
	owner = owner_of_v4(ip->destination);
	if (!owner)
		return pass(CAUSE_PASS_NOT_OURS);
	header_len = (ip->version_ihl & 15) * 4;
	total_len = bpf_ntohs(ip->total_len);
	if (ip->version_ihl >> 4 != 4 || header_len < IPV4_MIN_LEN || total_len < header_len ||
	    link_len + total_len > bpf_xdp_get_buff_len(ctx))
		return malformed(owner);
	if (ip->fragment & bpf_htons(FRAGMENT_BITS))
		return fragment(owner);
	if (ip->protocol == IPPROTO_ICMP) {
		if (owner->mode == OWN_ADDRESS)
			return redirect(ctx, owner, CAUSE_REDIRECT_ICMP);
		return pass(CAUSE_PASS_OTHER_PROTOCOL);
	}
	return transport(ctx, owner, ip->protocol, link_len + header_len, link_len + total_len);
}

/* A solicitation for an own address that is sent to its solicited-node group (RFC 4861 section 7.2.2). */
static __always_inline int steer_multicast(struct xdp_md *ctx, const struct ipv6 *ip, __u32 offset)
{
	__u8 message[SOLICITATION_LEN];
	struct owned_value *owner;

	if (ip->next_header != PROTOCOL_ICMPV6 || ip->destination[1] != 2 || ip->destination[11] != 1 ||
	    ip->destination[12] != 0xff)
		return pass(CAUSE_PASS_NOT_OURS);
	if (bpf_xdp_load_bytes(ctx, offset, message, sizeof(message)))
		return pass(CAUSE_PASS_MALFORMED);
	if (message[0] != ICMPV6_NEIGHBOUR_SOLICITATION)
		return pass(CAUSE_PASS_NOT_OURS);
	owner = owner_of_v6(&message[8]);
	if (!owner || owner->mode != OWN_ADDRESS)
		return pass(CAUSE_PASS_NOT_OURS);
	return redirect(ctx, owner, CAUSE_REDIRECT_NDP);
}

/* RFC 4861: router solicitation 133 to redirect 137. */
static __always_inline enum cause icmpv6_cause(struct xdp_md *ctx, __u32 offset)
{
	__u8 type = 0;

	if (!bpf_xdp_load_bytes(ctx, offset, &type, sizeof(type)) && type >= 133 && type <= 137)
		return CAUSE_REDIRECT_NDP;
	return CAUSE_REDIRECT_ICMP;
}

static __always_inline int steer_ipv6(struct xdp_md *ctx, void *at, void *end, __u32 link_len)
{
	struct ipv6 *ip = at;
	struct owned_value *owner;
	__u32 offset = link_len + IPV6_LEN, limit;
	__u8 next;

	if (at + sizeof(*ip) > end)
		return pass(CAUSE_PASS_MALFORMED);
	if (ip->destination[0] == 0xff)
		return steer_multicast(ctx, ip, offset);
	owner = owner_of_v6(ip->destination);
	if (!owner)
		return pass(CAUSE_PASS_NOT_OURS);
	limit = offset + bpf_ntohs(ip->payload_len);
	if (ip->version >> 4 != 6 || limit > bpf_xdp_get_buff_len(ctx))
		return malformed(owner);
	next = ip->next_header;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 head[2];

		if (next == NEXT_FRAGMENT)
			return fragment(owner);
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION &&
		    next != NEXT_AUTHENTICATION && next != NEXT_MOBILITY && next != NEXT_HIP &&
		    next != NEXT_SHIM6) {
			if (next != PROTOCOL_ICMPV6)
				return transport(ctx, owner, next, offset, limit);
			if (owner->mode == OWN_ADDRESS)
				return redirect(ctx, owner, icmpv6_cause(ctx, offset));
			return pass(CAUSE_PASS_OTHER_PROTOCOL);
		}
		if (offset + 8 > limit || bpf_xdp_load_bytes(ctx, offset, head, sizeof(head)))
			return malformed(owner);
		/* Lengths count 8 bytes beyond the first 8; AH counts 4 bytes beyond the first 8. */
		offset += next == NEXT_AUTHENTICATION ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		next = head[0];
	}
	return malformed(owner);
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 link_len = ETHERNET_LEN;
	__be16 type;

	if (data + ETHERNET_LEN > end)
		return pass(CAUSE_PASS_MALFORMED);
	type = *(__be16 *)(data + 12);
	/* Up to two tags: 802.1Q, and 802.1ad around it. */
	for (int i = 0; i < 2; i++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (data + link_len + VLAN_TAG_LEN > end)
			return pass(CAUSE_PASS_MALFORMED);
		type = *(__be16 *)(data + link_len + 2);
		link_len += VLAN_TAG_LEN;
	}
	if (type == bpf_htons(ETH_P_IP))
		return steer_ipv4(ctx, data + link_len, end, link_len);
	if (type == bpf_htons(ETH_P_IPV6))
		return steer_ipv6(ctx, data + link_len, end, link_len);
	if (type == bpf_htons(ETH_P_ARP))
		return steer_arp(ctx, data + link_len, end);
	return pass(CAUSE_PASS_NOT_IP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
