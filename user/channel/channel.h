/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * channel.h - one VM's frame rings
 *
 * A channel carries frames between the data path and one virtual machine,
 * container or program. A new kind of channel is one new file with one table
 * of functions; nothing else in vmq knows kinds apart.
 *
 * "rx" is towards the guest, "tx" from it, as the guest sees it. A channel has
 * one or more pairs; a pair's tx belongs to one worker at a time. rx of a pair
 * can be called by several workers (the queue's own worker, and the switch in
 * others); port.h holds the pair's lock around it. open, pause, resume and
 * close are for the control thread, and so is quiet.
 *
 * Guest-visible memory never leaves the channel: tx_burst() copies a frame into
 * private memory once, and everything that is decided about it is decided there.
 */
#ifndef VMQ_CHANNEL_H
#define VMQ_CHANNEL_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/err.h"

/*
 * A frame on its way to a guest: up to three pieces in private memory, so that
 * a tag is left out or put in without moving the frame (frame.h builds it).
 */
#define FRAME_PARTS 3
struct frame {
	struct iovec part[FRAME_PARTS];
	int	     parts;
	uint32_t     len;	/* sum of the pieces */
	const struct frame_join *join;	/* NULL: by itself, or behind one that has it */
};

/*
 * Segments of a stream that a guest may get as one frame (datapath/gro.h): the frame
 * that refers to this and those behind it. A channel that can not, now or at all,
 * gives them one by one.
 */
#define FRAME_HEADERS 128
struct frame_join {
	int	 frames;
	uint32_t len;		/* of the joined frame */
	struct virtio_net_hdr hdr;	/* little-endian, as in virtio 1.0 */
	uint32_t headers_len;
	uint8_t	 headers[FRAME_HEADERS];	/* in place of each frame's own */
};

/* What is behind the headers: always in the last piece. */
static inline struct iovec frame_payload(const struct frame *f, uint32_t headers_len)
{
	const struct iovec *last = &f->part[f->parts - 1];
	size_t len = f->len - headers_len;

	return (struct iovec){ (uint8_t *)last->iov_base + last->iov_len - len, len };
}

/* Why a frame that the guest sent is nothing but counted (stats.h names them). */
enum channel_fault {
	CHANNEL_FINE,
	CHANNEL_BAD_HEADER,	/* cut, or asks for what was not agreed on */
	CHANNEL_BAD_CSUM,	/* the checksum to complete is outside of the frame */
	CHANNEL_BAD_GSO,	/* cannot be cut into segments as it says */
	CHANNEL_TOO_LONG,	/* for the room */
	CHANNEL_DISABLED,	/* the guest has not enabled the ring */
};

/* Private memory that a guest's frame is copied into. */
struct frame_buf {
	uint8_t	*data;
	uint32_t room;
	uint32_t len;		/* set by tx_burst(); at most the room */
	enum channel_fault fault;	/* set by tx_burst() if not fine; fine before */
	bool	 own;		/* set by tx_burst(): not the guest's, but about it, and as it
				 * shall be on the wire */
	uint64_t addr;		/* of the owner (a UMEM address) */
};

/* Where a guest is reached: an address, in a VLAN (VMQ_RULE_… of vmq/abi.h). */
struct channel_address {
	uint8_t	 mac[6];
	uint16_t rule;
};

/* What became of the frames of one rx_burst(). */
struct channel_rx {
	uint32_t delivered;
	uint32_t full;		/* dropped: the guest's rings had no room */
	uint32_t error;		/* dropped: the device refused it (down, too long) */
	uint32_t joined;	/* of the delivered: in a frame with the one before it */
};

#define CHANNEL_ADDRESSES 64

struct channel;			/* each kind embeds it as its first member */

struct channel_config {
	const char *queue;	/* name, for messages and default device names */
	const uint8_t *mac;	/* the port's first address, or NULL */
	int	 pairs;
	uint32_t mtu;		/* what one frame can carry: asked for, and the limit */
	bool	 adopt;		/* a restart: take over the device left by the last run */
	void (*event)(void *arg, const char *what, const char *detail);
				/* "up", "stopping", "down", "lost", "announced" for `monitor`;
				 * any thread; must not wait for the control thread */
	/*
	 * The guest wants no more frames (false), or wants them again (true). After
	 * "no more" the answer is a call of `quiet`. Any thread; must not wait for
	 * the control thread. NULL: there is nobody to ask.
	 */
	void (*wants)(void *arg, bool frames);
	/*
	 * The guest has run before, here or elsewhere, and is announced: the answer is a
	 * call of `set_addresses`. As for `wants`.
	 */
	void (*moved)(void *arg);
	void	*arg;
};

struct channel_ops {
	const char *kind;	/* the word before ':' in a specification */
	const char *usage;	/* "tap:IFNAME[,netns=NAME|PID]" */

	/* @args: what follows ':' (not NULL). 0 or -errno with a sentence. */
	int (*open)(struct channel **out, const char *args,
		    const struct channel_config *cfg, struct vmq_err *err);

	/*
	 * Give frames to the guest, joined ones as one if it takes them; `res` is
	 * added to, not cleared. Return: how many frames from the front are settled
	 * (delivered or dropped, all counted in `res`). Fewer than @n: the guest has
	 * no room now; the caller keeps the rest and tries again when new frames or a
	 * kick arrive.
	 */
	int (*rx_burst)(struct channel *ch, int pair, const struct frame *f, int n,
			struct channel_rx *res);

	/* Does the guest take joined frames now? NULL: this kind never does. */
	bool (*takes_joined)(struct channel *ch, int pair);

	/*
	 * Take frames from the guest into @buf, also those that are no use and
	 * have a fault. Return: how many; 0 if there are none now (the fd will be
	 * readable, edge-triggered, when there are); -errno when the channel is
	 * broken.
	 */
	int (*tx_burst)(struct channel *ch, int pair, struct frame_buf *buf, int n);

	/* Descriptor to poll for the guest's frames; -1: none (yet). */
	int (*fd)(struct channel *ch, int pair);

	/* Pause: touch no guest memory until resume. May be NULL. */
	void (*pause)(struct channel *ch);
	void (*resume)(struct channel *ch);

	/*
	 * Nothing is held for the guest any more, and nothing comes through its rings
	 * until it wants frames again. May be NULL for kinds that never ask.
	 */
	void (*quiet)(struct channel *ch);

	/*
	 * The guest's addresses, to be announced; copied. @n: at most CHANNEL_ADDRESSES;
	 * @more: how many are not among them. May be NULL for kinds that never ask.
	 */
	void (*set_addresses)(struct channel *ch, const struct channel_address *a, int n,
			      int more);

	/* @keep: the service restarts; leave a device that can be adopted. */
	void (*close)(struct channel *ch, bool keep);
};

struct channel {
	const struct channel_ops *ops;
};

extern const struct channel_ops channel_tap;
extern const struct channel_ops channel_vhost_user;

/* All kinds, ended by NULL: feeds the parser, --help and the manual. */
extern const struct channel_ops *const channel_kinds[];

/**
 * channel_open() - make a channel from its specification
 * @out: the channel; NULL for the specification "none" (the VM has no channel
 *       yet: its frames are dropped as channel errors)
 * @spec: "KIND:ARGS"
 * @cfg: used during the call, except `event`, `wants`, `moved` and `arg`
 * @err: sentence; names the kinds there are if @spec names none of them
 *
 * Return: 0, -EINVAL bad specification, or what the kind says.
 */
int channel_open(struct channel **out, const char *spec,
		 const struct channel_config *cfg, struct vmq_err *err);

#endif /* VMQ_CHANNEL_H */
