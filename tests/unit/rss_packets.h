/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss_packets.h - packets of all kinds that are hashed, or are not
 *
 * Whoever builds one by put_ethernet() and put_ipv4() or put_ipv6() learns from it
 * what a hash has to take: its addresses, its ports, and how far it must be whole.
 */
#ifndef RSS_PACKETS_H
#define RSS_PACKETS_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static uint32_t rnd(void)
{
	static uint64_t x = 0x2545f4914f6cdd1dULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

struct packet {
	uint8_t  data[1024];
	uint32_t len;
	uint32_t l3;		/* where IP begins */
	uint32_t need_addr;	/* bytes without which there is no hash at all */
	uint32_t need_ports;	/* ... no hash with ports */
	int	 version;	/* 4, 6; 0: neither */
	uint8_t  proto;		/* transport; 0: none that counts */
	bool	 fragment;
	bool	 unhashable;	/* too many extension headers */
	uint8_t  src[16], dst[16];	/* plain addresses */
	uint8_t  home[16], route[16];	/* what _EX types take */
	uint8_t  ports[4];
};

static void put(struct packet *p, const void *bytes, uint32_t n)
{
	memcpy(p->data + p->len, bytes, n);
	p->len += n;
}

static void put8(struct packet *p, uint8_t v)
{
	put(p, &v, 1);
}

static void put16(struct packet *p, uint16_t v)
{
	v = htons(v);
	put(p, &v, 2);
}

static void put_random(struct packet *p, uint32_t n)
{
	while (n--)
		put8(p, (uint8_t)rnd());
}

static void put_ethernet(struct packet *p, uint64_t mac, int tags, uint16_t proto)
{
	int i;

	for (i = 0; i < 6; i++)
		put8(p, (uint8_t)(mac >> (40 - 8 * i)));
	put(p, "\x02\x00\x00\x00\x00\x99", 6);
	for (i = 0; i < tags; i++) {
		put16(p, ETH_P_8021Q);
		put16(p, 100);
	}
	put16(p, proto);
	p->l3 = p->len;
}

/* Ports and a whole header of the transport, and some data. */
static void put_transport(struct packet *p)
{
	uint32_t hlen = p->proto == IPPROTO_TCP ? 20 : 8;

	p->need_ports = p->len + hlen;
	put(p, p->ports, 4);
	put_random(p, hlen - 4 + rnd() % 32);
}

static void put_ipv4(struct packet *p, uint32_t options, uint16_t frag)
{
	uint32_t start = p->len;
	uint16_t total;

	p->version = 4;
	p->fragment = frag != 0;
	put8(p, (uint8_t)(0x40 | (5 + options)));
	put8(p, 0);
	put16(p, 0);
	put16(p, (uint16_t)rnd());
	put16(p, frag);
	put8(p, 64);
	put8(p, p->proto);
	put16(p, 0);
	put(p, p->src, 4);
	put(p, p->dst, 4);
	put_random(p, options * 4);
	p->need_addr = p->len;
	put_transport(p);
	total = htons((uint16_t)(p->len - start));
	memcpy(p->data + start + 2, &total, 2);
}

/* Extension headers of one packet, in order. */
enum extension { HOP, DEST, DEST_HOME, DEST_HOME_LATE, DEST_BROKEN, ROUTE0, ROUTE2, AUTH, FRAG };

static const uint8_t extension_number[] = {
	[HOP] = 0, [DEST] = 60, [DEST_HOME] = 60, [DEST_HOME_LATE] = 60, [DEST_BROKEN] = 60,
	[ROUTE0] = 43, [ROUTE2] = 43, [AUTH] = 51, [FRAG] = 44,
};

/* One header: its first byte names what follows. */
static void put_extension(struct packet *p, enum extension e, uint8_t next, bool *home)
{
	static const uint8_t pad[] = { 1, 4, 0, 0, 0, 0 };	/* PadN of six bytes */

	put8(p, next);
	switch (e) {
	case HOP:
	case DEST:
		put8(p, 1);
		put(p, pad, 6);
		put(p, "\0\0", 2);	/* Pad1, Pad1 */
		put(p, pad, 6);
		break;
	case DEST_HOME:
	case DEST_HOME_LATE:
		put8(p, e == DEST_HOME ? 2 : 3);
		if (e == DEST_HOME_LATE)
			put(p, "\x1e\x06\0\0\0\0\0\0", 8);	/* an option nobody knows */
		put(p, "\x01\x02\0\0", 4);
		put8(p, 0xc9);
		put8(p, 16);
		put_random(p, 16);
		if (!*home)
			memcpy(p->home, p->data + p->len - 16, 16);
		*home = true;
		break;
	case DEST_BROKEN:	/* the option would end beyond its header */
		put8(p, 1);
		put(p, pad, 6);
		put8(p, 0xc9);
		put8(p, 16);
		put_random(p, 6);
		break;
	case ROUTE0:
	case ROUTE2:
		put8(p, 2);
		put8(p, e == ROUTE2 ? 2 : 0);
		put8(p, 1);
		put_random(p, 4 + 16);
		if (e == ROUTE2)
			memcpy(p->route, p->data + p->len - 16, 16);
		break;
	case AUTH:
		put8(p, 4);	/* in words, less two */
		put_random(p, 22);
		break;
	case FRAG:
		put8(p, 0);
		put16(p, (uint16_t)(rnd() % 3 ? rnd() & 0xfff9 : 0));
		put_random(p, 4);
		p->fragment = true;
		break;
	}
}

static void put_ipv6(struct packet *p, const enum extension *ext, int n)
{
	bool home = false;
	uint8_t next;
	int i;

	p->version = 6;
	memcpy(p->home, p->src, 16);
	memcpy(p->route, p->dst, 16);
	put(p, "\x60\0\0\0\0\0", 6);
	put8(p, n ? extension_number[ext[0]] : p->proto);
	put8(p, 64);
	put(p, p->src, 16);
	put(p, p->dst, 16);
	p->need_addr = p->len;
	p->unhashable = n > 6;
	for (i = 0; i < n; i++) {
		next = i + 1 < n ? extension_number[ext[i + 1]] : p->proto;
		put_extension(p, ext[i], next, &home);
		p->need_addr = p->len;
		if (p->fragment) {
			p->unhashable = i >= 6;
			break;
		}
	}
	put_transport(p);
}

#endif /* RSS_PACKETS_H */
