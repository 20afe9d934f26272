// SPDX-License-Identifier: GPL-2.0-only
/*
 * doorbell.c - signal an eventfd that somebody else holds, too, and never wait
 *
 * DOC: Theory of operation
 *
 * A guest is interrupted by an eventfd that its front end made. O_NONBLOCK belongs
 * to the open file description, which both sides share: the front end can take it
 * away and fill the count, and a worker that writes would wait for as long as the
 * guest's owner likes. Asking first (poll(2), F_GETFL) only makes the moment
 * shorter. RWF_NOWAIT is not there for eventfds: fs/eventfd.c has .write and no
 * .write_iter (seen up to 6.18); they cannot be opened anew either (ENXIO).
 *
 * The kernel itself adds to an eventfd without waiting (eventfd_signal()), and does
 * so at the end of an asynchronous operation, io_submit(2) with IOCB_FLAG_RESFD. So
 * we submit one that is over at once: a read of no bytes from the eventfd itself.
 * That costs a third of a microsecond more than a write; a batch has one.
 *
 * A context (io_setup(2)) is a thread's own and goes with it. What was submitted is
 * fetched when the context is full.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/doorbell.h"
#include "common/err.h"
#include "common/log.h"

#define EVENTS	64	/* a context's, of the 65,536 of fs.aio-max-nr */

static __thread aio_context_t doorbell_context;
static __thread bool doorbell_tried;
static pthread_key_t doorbell_key;
static pthread_once_t doorbell_once = PTHREAD_ONCE_INIT;

static void doorbell_thread_ends(void *context)
{
	syscall(SYS_io_destroy, (aio_context_t)(uintptr_t)context);
}

static void doorbell_make_key(void)
{
	pthread_key_create(&doorbell_key, doorbell_thread_ends);
}

static void doorbell_setup(void)
{
	doorbell_tried = true;
	pthread_once(&doorbell_once, doorbell_make_key);
	if (syscall(SYS_io_setup, EVENTS, &doorbell_context) < 0) {
		doorbell_context = 0;
		log_warn("cannot make a context for asynchronous I/O (%s), so a hostile guest "
			 "could hold up a worker: raise fs.aio-max-nr", vmq_err_name(-errno));
		return;
	}
	pthread_setspecific(doorbell_key, (void *)(uintptr_t)doorbell_context);
}

static long doorbell_submit(int fd)
{
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *cbs = &cb;

	return syscall(SYS_io_submit, doorbell_context, 1, &cbs);
}

void doorbell_ring(int fd)
{
	struct io_event ev[EVENTS];
	uint64_t one = 1;

	if (fd < 0)
		return;
	if (!doorbell_tried)
		doorbell_setup();
	/* Without a context: O_NONBLOCK was set when the descriptor came (EAGAIN: full). */
	if (!doorbell_context) {
		if (write(fd, &one, sizeof(one)) < 0)
			one = 0;
		return;
	}
	if (doorbell_submit(fd) < 0 && errno == EAGAIN) {
		syscall(SYS_io_getevents, doorbell_context, 0L, (long)EVENTS, ev, NULL);
		doorbell_submit(fd);
	}
}
