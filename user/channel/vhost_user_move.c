// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_move.c - a guest comes, is stopped, and is announced elsewhere
 *
 * DOC: Theory of operation
 *
 * The answer to GET_VRING_BASE is a promise: guest memory is not written behind
 * it. So the guest's queue ends first, with the first of its rings, and frames
 * that it holds are delivered. That is the control plane's business and takes its
 * time (adapter/barrier.h). The message waits in its channel until then; nothing
 * else is read from that front end, and nobody waits with a lock.
 *
 * When rings start that did not begin at 0 the guest has run before, on another
 * host or under another service, and the network must learn where it is now. QEMU
 * asks for that (SEND_RARP) only if the guest cannot do it itself (GUEST_ANNOUNCE),
 * and a guest takes its time. So it is said here in any case, with QEMU's delays
 * between the rounds: one may be lost, and a switch may learn the old place once
 * more from a frame that was under way. The first address is said at once; the
 * control plane is asked for all that the queue has (vhost_user_set_addresses()), and
 * those are said in their VLANs. The worker does it between the guest's frames, as
 * buffers allow.
 */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

#include "channel/vhost_user.h"
#include "common/parse.h"
#include "common/util.h"

#define RARP_LEN	60	/* of the frame, without tag and FCS */
#define RARP_REQUEST	3	/* RFC 903 */
#define TAG_LEN		4

#define ANNOUNCE_FIRST_MS	50u
#define ANNOUNCE_STEP_MS	100u

void vhost_user_want_frames(struct vhost_user *vu)
{
	if (vu->phase == VHOST_USER_RUNS)
		return;
	vu->phase = VHOST_USER_RUNS;
	/* They can be here before all of its rings are. */
	if (!vu->up)
		store_relaxed(&vu->expected, true);
	if (vu->wants)
		vu->wants(vu->arg, true);
}

bool vhost_user_quiesced(struct vhost_user *vu)
{
	if (vu->phase == VHOST_USER_RUNS) {
		vu->phase = VHOST_USER_STOPPING;
		store_relaxed(&vu->quiet, !vu->wants);
		if (vu->up && vu->event)
			vu->event(vu->arg, "stopping", "by the front end");
		if (vu->wants)
			vu->wants(vu->arg, false);
	}
	if (vu->phase == VHOST_USER_STOPPING && !load_acquire(&vu->quiet))
		return false;
	vu->phase = VHOST_USER_QUIET;
	return true;
}

/* ---- announcements --------------------------------------------------------- */

/* The addresses that there are by now. */
static void say_all(struct vhost_user *vu)
{
	if (vu->announcing)
		store_relaxed(&vu->to_say, (uint32_t)vu->n_addresses);
}

static void tell_announced(const struct vhost_user *vu, int n, int more)
{
	char detail[80];

	if (!vu->event)
		return;
	if (more)
		snprintf(detail, sizeof(detail), "%d addresses, %d more are not", n, more);
	else
		snprintf(detail, sizeof(detail), "%d address%s", n, n == 1 ? "" : "es");
	vu->event(vu->arg, "announced", detail);
}

void vhost_user_set_addresses(struct channel *ch, const struct channel_address *a, int n,
			      int more)
{
	struct vhost_user *vu = container_of(ch, struct vhost_user, ch);
	bool announcing;

	pthread_mutex_lock(&vu->address_lock);
	memcpy(vu->address, a, (size_t)n * sizeof(*a));
	vu->n_addresses = n;
	say_all(vu);
	announcing = vu->announcing;
	pthread_mutex_unlock(&vu->address_lock);
	if (!announcing)	/* it has stopped meanwhile */
		return;
	vhost_user_wake(vu, 0);
	tell_announced(vu, n, more);
}

/*
 * "This address is here now", to teach switches where the guest is. RARP and not
 * ARP: we do not know the guest's IP addresses.
 */
static void rarp_build(const struct channel_address *a, struct frame_buf *buf)
{
	static const uint8_t arp[] = { 0, ARPHRD_ETHER, ETH_P_IP >> 8, ETH_P_IP & 0xff,
				       ETH_ALEN, 4, 0, RARP_REQUEST };
	uint32_t tag = a->rule == VMQ_RULE_UNTAGGED ? 0 : TAG_LEN;
	uint8_t *p = buf->data;

	buf->len = RARP_LEN + tag;
	memset(p, 0, buf->len);
	memset(p, 0xff, ETH_ALEN);
	memcpy(p + 6, a->mac, ETH_ALEN);
	if (tag) {
		p[12] = ETH_P_8021Q >> 8;
		p[13] = ETH_P_8021Q & 0xff;
		p[14] = (uint8_t)(a->rule >> 8);
		p[15] = (uint8_t)a->rule;
		p += tag;
	}
	p[12] = ETH_P_RARP >> 8;
	p[13] = ETH_P_RARP & 0xff;
	memcpy(p + 14, arp, sizeof(arp));
	memcpy(p + 22, a->mac, ETH_ALEN);	/* sender */
	memcpy(p + 32, a->mac, ETH_ALEN);	/* target */
}

/* What the front end has asked for: in the port's VLAN, checked like the guest's frames. */
static int say_rarp(struct vhost_user *vu, struct frame_buf *buf)
{
	struct channel_address a = { .rule = VMQ_RULE_UNTAGGED };
	uint64_t u48 = __atomic_exchange_n(&vu->rarp, 0, __ATOMIC_RELAXED);
	int i;

	if (!u48)
		return 0;
	for (i = 0; i < ETH_ALEN; i++)
		a.mac[i] = (uint8_t)(u48 >> (8 * (ETH_ALEN - 1 - i)));
	rarp_build(&a, buf);
	return 1;
}

int vhost_user_say(struct vhost_user *vu, struct frame_buf *buf, int n)
{
	uint32_t left = load_relaxed(&vu->to_say);
	int said = 0;

	if (n < 1 || buf->room < RARP_LEN + TAG_LEN)
		return 0;
	if (load_relaxed(&vu->rarp))
		said = say_rarp(vu, buf);
	if (!left || said == n)
		return said;
	pthread_mutex_lock(&vu->address_lock);
	/* The round may end in between, because the guest is to stop. */
	while (left && said < n &&
	       __atomic_compare_exchange_n(&vu->to_say, &left, left - 1, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		/* More than there are: the list has become shorter. */
		if (left <= (uint32_t)vu->n_addresses) {
			rarp_build(&vu->address[(uint32_t)vu->n_addresses - left], &buf[said]);
			buf[said++].own = true;
		}
		left--;
	}
	pthread_mutex_unlock(&vu->address_lock);
	return said;
}

void vhost_user_announce(struct vhost_user *vu, uint64_t now)
{
	uint32_t round = VHOST_USER_ANNOUNCEMENTS - vu->announce_left--;

	vu->announce_at = now + (ANNOUNCE_FIRST_MS + round * ANNOUNCE_STEP_MS) * UINT64_C(1000000);
	pthread_mutex_lock(&vu->address_lock);
	say_all(vu);
	pthread_mutex_unlock(&vu->address_lock);
	vhost_user_wake(vu, 0);
}

/* At either end nothing is known and nothing is to be said. */
static void set_announcing(struct vhost_user *vu, bool on)
{
	pthread_mutex_lock(&vu->address_lock);
	vu->announcing = on;
	vu->n_addresses = 0;
	store_relaxed(&vu->to_say, 0);
	pthread_mutex_unlock(&vu->address_lock);
}

/* ---- coming and going --------------------------------------------------------- */

static void begin(struct vhost_user *vu)
{
	int i;

	store_relaxed(&vu->expected, false);
	if (vu->moved) {
		vu->moved = false;
		vu->announce_left = VHOST_USER_ANNOUNCEMENTS;
		set_announcing(vu, true);
		store_relaxed(&vu->rarp, mac_to_u48(vu->mac));
		vhost_user_announce(vu, now_ns());
		if (vu->told_moved)
			vu->told_moved(vu->arg);
	}
	/* Frames may have waited for it. */
	for (i = 0; i < vu->pairs; i++)
		vhost_user_wake(vu, i);
}

/* It may be elsewhere in a moment. */
void vhost_user_say_no_more(struct vhost_user *vu)
{
	vu->announce_left = 0;
	store_relaxed(&vu->rarp, 0);
	set_announcing(vu, false);
}

void vhost_user_tell(struct vhost_user *vu, const char *detail)
{
	bool up = load_relaxed(&vu->ring[0].ready) && vu->ring[1].started;

	if (up == vu->up)
		return;
	vu->up = up;
	if (up)
		begin(vu);
	else
		vhost_user_say_no_more(vu);
	if (vu->event)
		vu->event(vu->arg, up ? "up" : "down", detail);
}
