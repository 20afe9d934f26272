// SPDX-License-Identifier: GPL-2.0-only
/*
 * privilege.c - the capabilities a service needs
 *
 * Asked for up front: the kernel's EPERM from the fifth system call would not
 * say which one is missing.
 */
#include <cap-ng.h>
#include <errno.h>
#include <sys/resource.h>

#include "adapter/attachment.h"
#include "common/util.h"

static const struct {
	unsigned int cap, instead;	/* either will do */
	const char *name;
	bool memlock;			/* needed only where memory locking is limited */
} capabilities[] = {
	{ CAP_NET_ADMIN, CAP_NET_ADMIN, "CAP_NET_ADMIN", false },
	{ CAP_NET_RAW, CAP_NET_RAW, "CAP_NET_RAW", false },
	{ CAP_BPF, CAP_SYS_ADMIN, "CAP_BPF", false },
	{ CAP_PERFMON, CAP_SYS_ADMIN, "CAP_PERFMON", false },
	{ CAP_IPC_LOCK, CAP_IPC_LOCK, "CAP_IPC_LOCK", true },
};

int check_capabilities(struct vmq_err *err)
{
	struct rlimit memlock;
	bool limited;

	limited = getrlimit(RLIMIT_MEMLOCK, &memlock) || memlock.rlim_cur != RLIM_INFINITY;
	if (capng_get_caps_process())
		return vmq_err(err, -EPERM, "cannot read the capabilities of this process");
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (capabilities[i].memlock && !limited)
			continue;
		if (capng_have_capability(CAPNG_EFFECTIVE, capabilities[i].cap) ||
		    capng_have_capability(CAPNG_EFFECTIVE, capabilities[i].instead))
			continue;
		return vmq_err(err, -EPERM, "no privilege: %s is missing; run as root, or grant it",
			       capabilities[i].name);
	}
	return 0;
}
