/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vhost_user.h - one virtual machine's virtio-net device, served over a socket
 *
 * What the files of this channel share; nobody else includes it but tests:
 *
 *	vhost_user.c		the channel: open, bursts, pause, close
 *	vhost_user_socket.c	the thread, listening, connecting, whole messages
 *	vhost_user_msg.c	the table of messages, and those about the device
 *	vhost_user_ring.c	those about one ring
 *	vhost_user_mem.c	those about the guest's memory
 *	vhost_user_move.c	how a guest comes, is stopped, and is announced
 *
 * All but the rings belongs to the vhost-user thread; other threads have things done
 * there (vhost_user_attach(), vhost_user_detach()). Rings have locks of their own (vring.h).
 */
#ifndef VMQ_VHOST_USER_H
#define VMQ_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "channel/channel.h"
#include "channel/dirty_log.h"
#include "channel/guest_mem.h"
#include "channel/vring.h"
#include "vmq/abi.h"

#define VHOST_USER_REGIONS	8	/* of one SET_MEM_TABLE */
#define VHOST_USER_FDS		8	/* of one message */
#define VHOST_USER_FDS_SENT	253	/* with one sendmsg(): the kernel's SCM_MAX_FD */
#define VHOST_USER_CONFIG	256	/* bytes of one GET_CONFIG */
#define VHOST_USER_PAYLOAD	4096	/* longest that is read at all */

/* The header's flags. */
#define VHOST_USER_VERSION	0x1
#define VHOST_USER_VERSION_MASK	0x3
#define VHOST_USER_REPLY	0x4
#define VHOST_USER_NEED_REPLY	0x8

/* In SET_VRING_KICK, _CALL and _ERR: ring, and "there is no descriptor". */
#define VHOST_USER_RING_MASK	0xffu
#define VHOST_USER_NO_FD	0x100u

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
};

enum vhost_user_protocol {
	VHOST_USER_P_MQ = 0,
	VHOST_USER_P_LOG_SHMFD = 1,
	VHOST_USER_P_RARP = 2,
	VHOST_USER_P_REPLY_ACK = 3,
	VHOST_USER_P_NET_MTU = 4,
	VHOST_USER_P_CONFIG = 9,
	VHOST_USER_P_RESET_DEVICE = 13,
	VHOST_USER_P_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_P_STATUS = 16,
};

#define VHOST_USER_F_LOG_ALL	26
#define VHOST_USER_F_PROTOCOL	30
#define BIT64(n)		(UINT64_C(1) << (n))

struct vhost_user_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset;
};

/* A message as it is on the socket: native byte order, no padding. */
struct vhost_user_msg {
	uint32_t request;
	uint32_t flags;
	uint32_t size;		/* of the payload */
	union {
		uint64_t u64;
		struct {
			uint32_t index;
			uint32_t num;
		} state;
		struct {
			uint32_t index;
			uint32_t flags;
			uint64_t desc;
			uint64_t used;
			uint64_t avail;
			uint64_t log;
		} __attribute__((packed)) addr;
		struct {
			uint32_t n;
			uint32_t padding;
			struct vhost_user_region region[VHOST_USER_REGIONS];
		} __attribute__((packed)) mem;
		struct {
			uint64_t padding;
			struct vhost_user_region region;
		} __attribute__((packed)) slot;
		struct {
			uint64_t size;
			uint64_t offset;
		} __attribute__((packed)) log;
		struct {
			uint32_t offset;
			uint32_t size;
			uint32_t flags;
			uint8_t	 data[VHOST_USER_CONFIG];
		} __attribute__((packed)) config;
		uint8_t raw[VHOST_USER_PAYLOAD];
	} __attribute__((packed));
} __attribute__((packed));

#define VHOST_USER_HEADER	12u

/* What a pair's worker polls: its kick descriptors come and go inside. */
struct vhost_user_pair {
	int epfd;
	int wake;		/* our own eventfd in it */
};

/* What the guest's queue does; its control plane follows (channel.h, `wants`). */
enum vhost_user_phase {
	VHOST_USER_RUNS,	/* frames come, or will when the guest is there */
	VHOST_USER_STOPPING,	/* asked for an end; what is held is being delivered */
	VHOST_USER_QUIET,	/* no frames come until a ring starts again */
};

struct vhost_user {
	struct channel ch;
	struct vhost_user *next;	/* on the thread's list */
	uint32_t id;			/* in its epoll events; never used twice */

	/* Configuration. */
	struct sockaddr_un addr;
	bool	 client;
	int	 pairs;
	uint32_t mtu;
	uint8_t	 mac[6];
	bool	 has_mac;
	void (*event)(void *arg, const char *what, const char *detail);
	void (*wants)(void *arg, bool frames);
	void (*told_moved)(void *arg);
	void	*arg;

	/* Sockets. */
	int	 listen_fd;
	dev_t	 socket_dev;		/* of the path we made */
	ino_t	 socket_ino;
	int	 fd;			/* connection, or -1 */
	struct foreign *foreign;	/* what is being closed */
	uint64_t retry_at;		/* when to connect, or to listen, again; 0: it is done */
	uint32_t retry_ms;

	/* The message that is being read. */
	struct vhost_user_msg msg;
	uint32_t have;			/* bytes of it */
	int	 fds[VHOST_USER_FDS + VHOST_USER_FDS_SENT];
	int	 n_fds;
	bool	 waiting;		/* it is whole, and waits for `quiet` */

	/* What this connection agreed on. */
	uint64_t protocol;
	uint8_t	 status;
	bool	 up;			/* the guest's first pair runs; told as an event */
	enum vhost_user_phase phase;
	bool	 moved;			/* it ran before, here or elsewhere: to be announced */
	uint32_t announce_left;		/* rounds of announcements */
	uint64_t announce_at;		/* the next */
	struct guest_mem mem;
	struct dirty_log log;

	/* Shared with workers. */
	bool	 failed;		/* a ring broke: the thread must look */
	bool	 quiet;			/* the data path holds nothing: the thread must look */
	bool	 expected;		/* about to run: frames wait for it */
	bool	 paused;
	uint64_t roomless;		/* pairs whose frames wait for another's ring, a bit each */
	uint64_t rarp;			/* the front end's: send one for it (mac_to_u48()) */
	uint32_t to_say;		/* addresses that this round has still to announce */
	pthread_mutex_t address_lock;	/* of the next three */
	bool	 announcing;		/* from its start to its end */
	struct channel_address address[CHANNEL_ADDRESSES];
	int	 n_addresses;
	struct vhost_user_pair pair[VMQ_PAIRS_MAX];
	struct vring ring[2 * VMQ_PAIRS_MAX];	/* rx of pair 0, tx of pair 0, rx of 1, ... */
};

/* ---- vhost_user.c ---------------------------------------------------------- */

/* Make a channel that has no socket yet. */
int vhost_user_new(struct vhost_user **out, const struct channel_config *cfg,
		   struct vmq_err *err);
void vhost_user_free(struct vhost_user *vu);

/* Any thread: have the pair's worker look at its rings. */
void vhost_user_wake(struct vhost_user *vu, int pair);

/* Any thread: have those look that wait for room in another pair's ring. */
void vhost_user_wake_roomless(struct vhost_user *vu);

/* Any thread: the first ring but @except that takes frames for the guest, or NULL. */
struct vring *vhost_user_receiver(struct vhost_user *vu, const struct vring *except);

/* Forget what a connection agreed on; no guest memory is touched afterwards. */
void vhost_user_reset(struct vhost_user *vu);

/* ---- vhost_user_msg.c ------------------------------------------------------ */

/**
 * vhost_user_handle() - do what vu->msg says, and answer it
 * @vu: channel with a whole message and its descriptors
 * @err: sentence; not NULL
 *
 * Descriptors that are kept are taken out of vu->fds; the caller closes the rest.
 *
 * Return: 0; VHOST_USER_WAIT nothing was done yet: call again when vu->quiet is
 * set; -EPIPE the peer is gone; -errno the peer broke the protocol.
 */
#define VHOST_USER_WAIT 1
int vhost_user_handle(struct vhost_user *vu, struct vmq_err *err);

/*
 * What does one message; in the table. Return: 0; 1: understood, not done;
 * VHOST_USER_LATER: call again when vu->quiet is set; -errno with a sentence: the
 * message cannot be right. May write an answer to @m.
 */
#define VHOST_USER_LATER 2
typedef int vhost_user_handler(struct vhost_user *vu, struct vhost_user_msg *m,
			       struct vmq_err *err);

/* ---- vhost_user_ring.c ----------------------------------------------------- */

vhost_user_handler vhost_user_vring_num, vhost_user_vring_addr, vhost_user_set_vring_base,
	vhost_user_get_vring_base, vhost_user_vring_enable, vhost_user_vring_kick,
	vhost_user_vring_call, vhost_user_vring_err;

/* All rings of the device, whoever works on them. */
void vhost_user_lock_rings(struct vhost_user *vu);
void vhost_user_unlock_rings(struct vhost_user *vu);

/* Stop a ring, and poll its kick descriptor no more. */
void vhost_user_stop_ring(struct vhost_user *vu, uint32_t index);


/* ---- vhost_user_mem.c ------------------------------------------------------ */

vhost_user_handler vhost_user_set_mem_table, vhost_user_add_mem, vhost_user_rem_mem,
	vhost_user_get_max_slots, vhost_user_set_log_base, vhost_user_set_log_fd;

/* ---- vhost_user_move.c ----------------------------------------------------- */

/* The guest is to get frames (again): a front end is there, or has started a ring. */
void vhost_user_want_frames(struct vhost_user *vu);

/* The guest's rings are about to stop. Return: its queue has stopped before. */
bool vhost_user_quiesced(struct vhost_user *vu);

/* Tell "up" or "down" if it has changed. */
void vhost_user_tell(struct vhost_user *vu, const char *detail);

/* Have a worker send the addresses to the switches, once more. */
#define VHOST_USER_ANNOUNCEMENTS 5
void vhost_user_announce(struct vhost_user *vu, uint64_t now);

void vhost_user_say_no_more(struct vhost_user *vu);

/*
 * Pair 0's worker: fill buffers with what is to be announced. Return: how many.
 * vhost_user_set_addresses() is the channel's function of that name.
 */
int vhost_user_say(struct vhost_user *vu, struct frame_buf *buf, int n);
void vhost_user_set_addresses(struct channel *ch, const struct channel_address *a, int n,
			      int more);

/* ---- vhost_user_socket.c ------------------------------------------------------ */

/* Begin to listen or connect; starts the thread if it is the first. */
int vhost_user_attach(struct vhost_user *vu, struct vmq_err *err);

/* The opposite. No event is told afterwards. */
void vhost_user_detach(struct vhost_user *vu);

/* Any thread: a ring broke; the data path holds nothing for the guest any more. */
void vhost_user_fail(struct vhost_user *vu);
void vhost_user_quiet(struct vhost_user *vu);

#endif /* VMQ_VHOST_USER_H */
