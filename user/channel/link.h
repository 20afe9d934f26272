/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * link.h - set up a network device that a channel made
 *
 * One rtnetlink request, so that the device is never seen half configured, and
 * the kernel's own extack text when it is refused. The device is one of the
 * calling thread's network namespace. Any thread.
 */
#ifndef VMQ_LINK_H
#define VMQ_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct link_setup {
	int	 netns;		/* descriptor of the namespace to move to; -1: stay */
	const char *name;	/* new name; NULL: keep */
	const uint8_t *mac;	/* NULL: keep */
	uint32_t mtu;		/* 0: keep */
};

/**
 * link_set() - move, rename, address and bring up a device
 * @ifindex: the device
 * @setup: what to change; the link is brought up in any case
 * @err: sentence: what the kernel says; the caller knows what was asked and why
 *
 * Return: 0 or -errno. After an error part of it may have been done.
 */
int link_set(int ifindex, const struct link_setup *setup, struct vmq_err *err);

/* The MTU of a device; 0 if it cannot be told. */
uint32_t link_mtu(const char *name);

#endif /* VMQ_LINK_H */
