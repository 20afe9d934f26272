/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * testframe.h - the frames that the test tools send, check and generate
 *
 * Ethernet, up to two VLAN tags, optionally IPv4 and UDP or TCP, then a payload with a
 * magic number, a stream and a sequence number, then a fixed pattern. A stream
 * is what one receiver is to see completely and in order: one destination, or one
 * flow to it.
 * EtherType 0x88b5 is IEEE's "local experimental": no stack answers it.
 */
#ifndef VMQ_TESTFRAME_H
#define VMQ_TESTFRAME_H

#include <arpa/inet.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"

#define TEST_ETHERTYPE	0x88b5
#define TEST_MAGIC	0x564d5154	/* "VMQT" */
#define TEST_DST_MAX	4096
#define TEST_FRAME_MAX	9216
#define TEST_UDP_PORT	20000		/* destination; sources count up from here */

struct test_payload {
	uint32_t magic;		/* big endian, like all of it */
	uint32_t stream;
	uint64_t seq;
} __attribute__((packed));

struct test_spec {
	uint8_t	 src[6];
	unsigned tags;		/* 0, 1, 2: outermost first */
	uint16_t tpid[2];
	uint16_t tci[2];
	bool	 udp, tcp;	/* one of them, if any */
	unsigned size;		/* of the whole frame, tags included, FCS not */
};

static inline uint8_t test_pattern(unsigned i)
{
	return (uint8_t)(i * 7 + 13);
}

static inline uint8_t *test_put16(uint8_t *p, uint16_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static inline uint16_t test_ip_sum(const uint8_t *p)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline unsigned test_header_len(const struct test_spec *s)
{
	return 14 + 4 * s->tags + (s->udp ? 28 : s->tcp ? 40 : 0);
}

static inline unsigned test_min_size(const struct test_spec *s)
{
	return test_header_len(s) + (unsigned)sizeof(struct test_payload);
}

/*
 * Write a frame of @s->size bytes to @buf; destination and payload numbers are
 * the caller's to fill in. Return: offset of struct test_payload.
 */
static inline unsigned test_build(const struct test_spec *s, uint8_t *buf)
{
	struct test_payload payload = { .magic = htonl(TEST_MAGIC) };
	uint8_t *p = buf + 6;
	uint8_t *ip;
	unsigned off;

	memset(buf, 0, 6);
	memcpy(p, s->src, 6);
	p += 6;
	for (unsigned i = 0; i < s->tags; i++) {
		p = test_put16(p, s->tpid[i]);
		p = test_put16(p, s->tci[i]);
	}
	p = test_put16(p, s->udp || s->tcp ? 0x0800 : TEST_ETHERTYPE);
	if (s->udp || s->tcp) {
		const uint8_t addr[8] = { 10, 200, 0, 1, 10, 200, 0, 2 };
		unsigned len = s->size - (unsigned)(p - buf);

		ip = p;
		memset(ip, 0, 40);
		ip[0] = 0x45;
		test_put16(ip + 2, (uint16_t)len);
		ip[8] = 64;
		ip[9] = s->udp ? 17 : 6;
		if (s->tcp)
			ip[6] = 0x40;	/* DF */
		memcpy(ip + 12, addr, 8);
		test_put16(ip + 10, test_ip_sum(ip));
		test_put16(ip + 20, TEST_UDP_PORT);
		test_put16(ip + 22, TEST_UDP_PORT);
		if (s->udp) {
			test_put16(ip + 24, (uint16_t)(len - 20)); /* checksum 0: none */
		} else {
			ip[32] = 0x50;
			ip[33] = 0x10;	/* ACK; sequence number and checksum: the caller's */
			ip[34] = 0xff;	/* window */
		}
		p += s->udp ? 28 : 40;
	}
	off = (unsigned)(p - buf);
	memcpy(p, &payload, sizeof(payload));
	for (unsigned i = off + sizeof(payload); i < s->size; i++)
		buf[i] = test_pattern(i - off);
	return off;
}

/* ---- command lines: the tools give up at the first bad word -------------- */

static inline uint64_t test_number(const char *word, const char *what, uint64_t min,
				   uint64_t max, uint64_t otherwise)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint64_t v = otherwise;

	if (word && parse_number(word, what, min, max, &v, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(2);
	}
	return v;
}

/* Any MAC, group addresses too: tests send broadcasts. */
static inline void test_mac(const char *word, uint8_t mac[6])
{
	unsigned m[6];
	int end = 0;

	if (sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4],
		   &m[5], &end) != 6 || word[end]) {
		fprintf(stderr, "'%s' is no MAC address\n", word);
		exit(2);
	}
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)m[i];
}

/*
 * "MAC[,MAC...]" or "MAC+N": N addresses that count up from MAC. Into @dst.
 * Return: how many.
 */
static inline unsigned test_macs(const char *word, uint8_t dst[][6])
{
	char *copy = strdup(word);
	char *save = NULL;
	unsigned n = 0;

	if (!copy)
		abort();
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		char *plus = strchr(w, '+');
		uint64_t more;
		uint32_t low;

		if (plus)
			*plus++ = '\0';
		more = test_number(plus, "number of addresses", 1, TEST_DST_MAX, 1);
		if (n + more > TEST_DST_MAX) {
			fprintf(stderr, "more than %d addresses\n", TEST_DST_MAX);
			exit(2);
		}
		test_mac(w, dst[n]);
		memcpy(&low, &dst[n][2], 4);
		for (uint32_t i = 1; i < more; i++) {
			uint32_t next = htonl(ntohl(low) + i);

			memcpy(dst[n + i], dst[n], 6);
			memcpy(&dst[n + i][2], &next, 4);
		}
		n += (unsigned)more;
	}
	free(copy);
	if (!n) {
		fprintf(stderr, "no destination address\n");
		exit(2);
	}
	return n;
}

/* --vlan, --ad, --qinq, --pcp into @s. */
static inline void test_tags(struct test_spec *s, const char *vlan, bool ad, const char *inner,
			     const char *pcp)
{
	uint16_t prio = (uint16_t)(test_number(pcp, "priority", 0, 7, 0) << 13);

	if (vlan) {
		s->tpid[0] = ad ? 0x88a8 : 0x8100;
		s->tci[0] = prio | (uint16_t)test_number(vlan, "VLAN", 0, 4095, 0);
		s->tags = 1;
	}
	if (inner) {
		if (!vlan) {
			fprintf(stderr, "--inner needs --vlan\n");
			exit(2);
		}
		s->tpid[1] = 0x8100;
		s->tci[1] = (uint16_t)test_number(inner, "inner VLAN", 0, 4095, 0);
		s->tags = 2;
	}
}

#endif /* VMQ_TESTFRAME_H */
