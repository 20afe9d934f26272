// SPDX-License-Identifier: GPL-2.0-only
/*
 * mem_guard.c - a SIGBUS handler that ends one function
 *
 * DOC: Theory of operation
 *
 * mem_guard() leaves a place to jump back to in thread-local memory, the handler
 * jumps there. SIGBUS of a memory access is delivered to the thread that made
 * it, so the handler finds that thread's own place. Two kernel facts shape this:
 *
 * A synchronous signal that is blocked is not delayed but kills the process
 * (kernel/signal.c force_sig_info_to_task()), and threads of this program are
 * started with all signals blocked: each thread unblocks SIGBUS at its first use.
 *
 * The handler leaves by siglongjmp() without restoring the signal mask, which
 * would cost a system call per sigsetjmp(); SA_NODEFER keeps SIGBUS unblocked.
 *
 * A SIGBUS outside of a guard is a bug or a broken disk: it goes to whoever had
 * the signal before.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "channel/mem_guard.h"

static __thread sigjmp_buf *guard_place;
static __thread bool guard_unblocked;
static struct sigaction guard_before;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;
static int guard_rc;

static void guard_signal(int sig, siginfo_t *info, void *context)
{
	sigjmp_buf *place = guard_place;

	if (place) {
		guard_place = NULL;
		siglongjmp(*place, 1);
	}
	if (guard_before.sa_flags & SA_SIGINFO) {
		guard_before.sa_sigaction(sig, info, context);
	} else if (guard_before.sa_handler != SIG_DFL && guard_before.sa_handler != SIG_IGN) {
		guard_before.sa_handler(sig);
	} else {
		/* Returning repeats the access, which now ends the process. */
		signal(sig, SIG_DFL);
	}
}

static void guard_install(void)
{
	struct sigaction sa = {
		.sa_sigaction = guard_signal,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, &sa, &guard_before) < 0)
		guard_rc = -errno;
}

int mem_guard_init(struct vmq_err *err)
{
	pthread_once(&guard_once, guard_install);
	if (guard_rc)
		return vmq_err_sys(err, guard_rc, "cannot install a handler of SIGBUS");
	return 0;
}

static void guard_unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	guard_unblocked = true;
}

int mem_guard(int (*fn)(void *arg), void *arg)
{
	sigjmp_buf place;
	int rc;

	if (!guard_unblocked)
		guard_unblock();
	if (sigsetjmp(place, 0))
		return -EFAULT;
	guard_place = &place;
	rc = fn(arg);
	guard_place = NULL;
	return rc;
}
