/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service.h - one vmq-load: an interface, its queues, and who asks for them
 *
 * The service owns everything: the attachment and the FIB (adapter), the data
 * path, the barrier thread and the control socket. It runs on one thread, the
 * control thread, in one epoll loop; nothing in it blocks longer than a call
 * into a worker takes. What takes longer - a barrier, a drain - is an operation
 * that goes on when its descriptor says so.
 *
 * Only files of user/control/ include this.
 */
#ifndef VMQ_SERVICE_H
#define VMQ_SERVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "adapter/attach.h"
#include "adapter/barrier.h"
#include "adapter/counters.h"
#include "adapter/filters.h"
#include "adapter/netdev.h"
#include "adapter/nic_hash.h"
#include "adapter/place.h"
#include "adapter/rss_map.h"
#include "adapter/state.h"
#include "common/err.h"
#include "control/server.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "vmq/abi.h"

struct service_config {
	struct attach_config attach;
	uint16_t cpu[VMQ_PAIRS_MAX];
	int	 n_cpus;
	uint32_t chunk;		/* 0: by the interface's MTU */
	uint32_t frames;	/* per RX queue; 0: by the number of queues */
	uint32_t poll_us;
	bool	 place;		/* set the CPUs of the kernel's receive work */
	uint32_t balance_ms;	/* between two looks at the load; 0: no balancing */
	bool	 keep;		/* on exit leave link and pins for the next run */
};

struct addresses;
struct queue;
struct balance;

/* A change of many filters waits until no frame sees what the last one has left. */
struct apply_gate {
	struct barrier_request barrier;
	bool	 asked;
	uint32_t flips;		/* commits before it was asked for */
	struct request **waiting;
	uint32_t n_waiting;
};

struct service {
	struct service_config cfg;
	struct attachment *attachment;
	const struct attach_info *info;
	struct netdev_info dev;		/* as it was when last looked at */
	struct nic_rss nic;		/* the same; only if the program asks for hashes */
	struct counters counters;
	struct fib *fib;
	struct filters *filters;
	struct addresses *addresses;	/* whose they are */
	struct rss_map *rss;
	struct barrier *barrier;
	struct apply_gate apply;
	struct netdev_addrs *addrs;
	struct netdev_watch *watch;
	struct place *place;
	struct balance *balance;	/* NULL: off */
	struct datapath *datapath;
	struct server *server;

	struct queue *queue[VMQ_QUEUES_MAX + 1];	/* by id; [0] is never set */
	struct vmq_queue_record host;	/* queue 0: its RSS, and the switch for all */
	uint32_t n_queues;
	uint8_t slot_used[VMQ_SLOTS_MAX];
	uint32_t ring;			/* default entries of a ring */
	uint64_t started_ns;

	int epoll_fd, signal_fd;
	int event_fd[2];		/* pipe: channel events from any thread */
	int guest_fd;			/* eventfd: a guest wants frames, or no more */
	bool stop, gone;
	bool restoring;			/* stations follow when all filters are back */
};

int service_open(struct service **out, const struct service_config *cfg, struct vmq_err *err);
int service_run(struct service *s, struct vmq_err *err);	/* until a signal, or the device goes */
void service_close(struct service *s);

#define SOCKET_PATH_MAX 108	/* sizeof(sun_path) */
void service_socket_path(const struct attach_config *cfg, char path[SOCKET_PATH_MAX]);
/* What a dead service did to the device's interrupts (adapter/place.h). */
void service_place_note(const struct attach_config *cfg, char path[SOCKET_PATH_MAX]);

/*
 * What a dead service left: the devices of its channels, its pins, its socket.
 * Errors as attach_unload().
 */
int service_unload(const struct attach_config *cfg, struct vmq_err *err);
/* The device of one channel, whose queue's record is about to go. Returns 0. */
int service_discard_channel(const struct vmq_queue_record *rec, void *arg);

/* What the protocol can do: methods.c. */
extern const struct method service_methods[];
void service_client_gone(void *service, uint64_t client_id);

#endif /* VMQ_SERVICE_H */
