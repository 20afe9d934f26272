// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_move.c - a guest comes, is stopped, and is announced elsewhere
 *
 * DOC: Theory of operation
 *
 * The answer to GET_VRING_BASE is a promise: guest memory is not written behind
 * it. So the guest's queue ends first, with the first of its rings, and frames
 * that it holds are delivered. That is the control plane's business and takes a
 * grace period of the kernel at least. The message waits in its channel until
 * then; nothing else is read from that front end, and nobody waits with a lock.
 *
 * When rings start that did not begin at 0 the guest has run before, on another
 * host or under another service, and the network must learn where it is now. QEMU
 * asks for that (SEND_RARP) only if the guest cannot do it itself (GUEST_ANNOUNCE),
 * and a guest takes its time. So it is said here in any case, with QEMU's delays
 * between the rounds: one may be lost, and a switch may learn the old place once
 * more from a frame that was under way.
 */
#include "channel/vhost_user.h"
#include "common/parse.h"
#include "common/util.h"

#define ANNOUNCE_FIRST_MS	50u
#define ANNOUNCE_STEP_MS	100u

void vhost_user_want_frames(struct vhost_user *vu)
{
	if (vu->phase == VHOST_USER_RUNS)
		return;
	vu->phase = VHOST_USER_RUNS;
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

void vhost_user_announce(struct vhost_user *vu, uint64_t now)
{
	uint32_t round = VHOST_USER_ANNOUNCEMENTS - vu->announce_left--;

	vu->announce_at = now + (ANNOUNCE_FIRST_MS + round * ANNOUNCE_STEP_MS) * UINT64_C(1000000);
	store_relaxed(&vu->announce, mac_to_u48(vu->mac));
	vhost_user_wake(vu, 0);
}

static void begin(struct vhost_user *vu)
{
	int i;

	store_relaxed(&vu->expected, false);
	if (vu->moved) {
		vu->moved = false;
		vu->announce_left = VHOST_USER_ANNOUNCEMENTS;
		vhost_user_announce(vu, now_ns());
	}
	/* Frames may have waited for it. */
	for (i = 0; i < vu->pairs; i++)
		vhost_user_wake(vu, i);
}

/* It may be elsewhere in a moment. */
static void end(struct vhost_user *vu)
{
	vu->announce_left = 0;
	store_relaxed(&vu->announce, 0);
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
		end(vu);
	if (vu->event)
		vu->event(vu->arg, up ? "up" : "down", detail);
}
