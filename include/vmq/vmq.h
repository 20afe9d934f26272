/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * vmq.h - libvmq: talk to a running vmq-load
 *
 * A program opens one `struct vmq` per service, calls methods and watches
 * events. Methods, their parameters and their results are JSON objects as text,
 * the ones of vmq-protocol(7); any JSON library will do on this side.
 *
 *	struct vmq *v;
 *	char *result;
 *
 *	if (vmq_open(&v, NULL, NULL) ||
 *	    vmq_call(v, "queue.show", "{\"name\":\"web1\"}", &result))
 *		fprintf(stderr, "%s\n", vmq_error(v));
 *	else
 *		puts(result), free(result);
 *	vmq_close(v);
 *
 * Functions that can fail return a negative errno; vmq_error() has the sentence.
 * Texts handed out are the caller's, for free(). A handle belongs to one thread
 * at a time. No signal is raised, no thread is made, nothing is printed.
 */
#ifndef VMQ_VMQ_H
#define VMQ_VMQ_H

#ifdef __cplusplus
extern "C" {
#endif

#define VMQ_RUN_DIR		"/run/vmq"	/* where services make their sockets */
#define VMQ_CALL_FDS_MAX	16		/* descriptors beside one request */
#define VMQ_TIMEOUT_MS		30000		/* of a call, unless set otherwise */

struct vmq;

/**
 * vmq_open() - connect to a service
 * @out: the connection. Set even after an error (NULL only without memory), so
 *       that vmq_error() can say what happened; close it in any case.
 * @run_dir: directory of the sockets; NULL for VMQ_RUN_DIR
 * @name: of the service, usually its interface; NULL: the only one that runs
 *
 * Return: 0; -ENOENT no such service, or none runs; -EINVAL several run and
 * @name does not choose; -EACCES not allowed; -ECONNREFUSED the service died;
 * or another negative errno.
 */
int vmq_open(struct vmq **out, const char *run_dir, const char *name);

/**
 * vmq_close() - end the connection and free the handle
 * @v: handle or NULL
 *
 * Queues that this connection made with "attached" are freed by the service.
 */
void vmq_close(struct vmq *v);

/**
 * vmq_error() - the sentence of the last failure
 * @v: handle; NULL (vmq_open() without memory) is allowed
 *
 * Return: a sentence without a newline, the service's own where it has refused
 * something; "" if nothing has failed. Valid until the next call.
 */
const char *vmq_error(const struct vmq *v);

/**
 * vmq_name() - which service this is
 * @v: open handle
 *
 * Return: its name. Valid until vmq_close().
 */
const char *vmq_name(const struct vmq *v);

/**
 * vmq_fd() - for poll(2)
 * @v: open handle
 *
 * Return: a descriptor that is readable when vmq_next_event() may have one. Ask
 * vmq_next_event() with timeout 0 until it returns 0 before you wait: events
 * that came during a call are kept in the handle.
 */
int vmq_fd(const struct vmq *v);

/**
 * vmq_set_timeout() - how long a call may take
 * @v: handle
 * @timeout_ms: milliseconds; negative: for ever
 */
void vmq_set_timeout(struct vmq *v, int timeout_ms);

/**
 * vmq_call() - call a method and wait for its result
 * @v: open handle
 * @method: "queue.list"
 * @params: JSON object; NULL: none
 * @result: if not NULL, the result: JSON object, for free()
 *
 * Return: 0; the negative errno that the service answered; -EINVAL @params is
 * not JSON; -EMSGSIZE the request has more than 16 MiB; -ETIMEDOUT; and
 * -ECONNRESET the service has gone. After an error @result is not touched.
 */
int vmq_call(struct vmq *v, const char *method, const char *params, char **result);

/**
 * vmq_call_fds() - the same with descriptors
 * @v: open handle
 * @method: method
 * @params: JSON object; NULL: none
 * @fds: descriptors for the service; they stay the caller's
 * @n_fds: how many, at most VMQ_CALL_FDS_MAX
 * @result: as for vmq_call()
 * @fd: if not NULL, the descriptor that came with the result, for close(); -1: none
 *
 * Return: as vmq_call().
 */
int vmq_call_fds(struct vmq *v, const char *method, const char *params, const int *fds,
		 int n_fds, char **result, int *fd);

/**
 * vmq_monitor() - ask for events on this connection
 * @v: open handle
 *
 * Return: as vmq_call().
 */
int vmq_monitor(struct vmq *v);

/**
 * vmq_next_event() - wait for an event
 * @v: handle that called vmq_monitor()
 * @timeout_ms: milliseconds; 0: do not wait; negative: for ever
 * @event: the event: JSON object with "event", for free()
 *
 * Return: 1 with an event; 0 if none came in time; -EINTR a signal came;
 * -ECONNRESET the service has gone; -EOVERFLOW events were lost because nobody
 * took them (later calls go on with the next one).
 */
int vmq_next_event(struct vmq *v, int timeout_ms, char **event);

#ifdef __cplusplus
}
#endif

#endif /* VMQ_VMQ_H */
