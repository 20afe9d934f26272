// SPDX-License-Identifier: GPL-2.0-only
/*
 * place.c - on which CPU the kernel's half of a queue runs
 *
 * Two ways, tried in order:
 *
 *   irq       the device has MSI interrupts and the names of their handlers say
 *             which RX queue they serve: /proc/irq/N/smp_affinity_list.
 *   threaded  /sys/class/net/IFACE/threaded (since 5.12): each NAPI becomes a
 *             kthread "napi/IFACE-ID", pinned with sched_setaffinity(2). NAPI
 *             ids grow in the order in which the driver adds its queues. The
 *             kernel refuses it for a device without NAPI, and veth has one
 *             only while XDP is attached and the device is up.
 *
 * kthreads of all network namespaces are in one list, where another namespace
 * may have a device of the same name: ours are those that appear when threaded
 * NAPI is switched on. So where it is on already (somebody else's choice, or our
 * own before a crash) the threads stay where they are.
 *
 * A service that is killed cannot put anything back. Its successor must not take
 * what it finds for what there was before: that is in a file, the note.
 *
 * Interrupts whose affinity the kernel manages itself refuse the write; the rest
 * are still placed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "adapter/place.h"
#include "common/log.h"
#include "common/util.h"

#define PLACE_MAX	512	/* interrupts or kthreads of one device */

struct moved_irq {
	int irq;
	char cpus[1024];	/* where it was: a list, with room for 200 CPUs */
};

struct numbered {
	long number;		/* queue, or NAPI id */
	int id;			/* interrupt, or pid */
};

struct place {
	const char *kind;
	char ifname[IF_NAMESIZE];	/* as it was: kthreads keep the name */
	unsigned int ifindex;
	const uint16_t *cpus;	/* the caller's */
	int n_cpus;
	bool threaded;		/* switched on by us */
	int n_others;		/* kthreads of other devices of that name */
	struct numbered others[PLACE_MAX];
	int n;
	struct moved_irq moved[PLACE_MAX];
	char note[256];			/* "": no file */
};

/* ---- the note: "IFINDEX THREADED", then a line "IRQ CPUS" for each that was moved ---- */

static void note_write(const struct place *p)
{
	FILE *f = p->note[0] ? fopen(p->note, "we") : NULL;

	if (!f)
		return;
	fprintf(f, "%u %d\n", p->ifindex, p->threaded);
	for (int i = 0; i < p->n; i++)
		fprintf(f, "%d %s\n", p->moved[i].irq, p->moved[i].cpus);
	fclose(f);
}

/* A note about another device (ours went, and came again) is none. */
static void note_read(struct place *p)
{
	FILE *f = p->note[0] ? fopen(p->note, "re") : NULL;
	unsigned int ifindex;
	struct moved_irq was;
	int threaded;

	if (!f)
		return;
	if (fscanf(f, "%u %d", &ifindex, &threaded) == 2 &&
	    (!p->ifindex || p->ifindex == ifindex)) {
		p->ifindex = ifindex;
		p->threaded = threaded;
		while (p->n < PLACE_MAX && fscanf(f, "%d %1023s", &was.irq, was.cpus) == 2)
			p->moved[p->n++] = was;
	}
	fclose(f);
}

/* ---- interrupts ------------------------------------------------------------------ */

/*
 * What stands in front of the queue number in the name of an interrupt handler.
 * The number follows the mark, which may be anywhere in the name.
 */
static const char *const irq_marks[] = {
	"-TxRx-",	/* eth0-TxRx-3: ixgbe, igb, i40e, ice, igc */
	"-Tx-Rx-",	/* eth0-Tx-Rx-3: ena */
	"-input.",	/* virtio1-input.3 */
	"-rx-",		/* eth0-rx-3: stmmac, gve, igb with split vectors */
	"mlx5_comp",	/* mlx5_comp3@pci:… */
	"-fp-",		/* eth0-fp-3: bnx2x */
};

static int by_number(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* "123", and nothing else: the number; else -1. */
static int to_id(const char *word)
{
	char *end;
	long v;

	if (!isdigit((unsigned char)*word))
		return -1;
	v = strtol(word, &end, 10);
	return *end || v <= 0 || v > INT32_MAX ? -1 : (int)v;
}

/* The RX queue that an interrupt's handler serves; -1: none that we know. */
static long irq_queue(int irq)
{
	char path[64];
	struct dirent *e;
	long queue = -1;
	DIR *d;

	/* The kernel makes a directory per handler, named like it. */
	snprintf(path, sizeof(path), "/proc/irq/%d", irq);
	d = opendir(path);
	if (!d)
		return -1;
	while (queue < 0 && (e = readdir(d))) {
		for (size_t i = 0; i < ARRAY_SIZE(irq_marks); i++) {
			const char *at = strstr(e->d_name, irq_marks[i]);

			if (at && isdigit((unsigned char)at[strlen(irq_marks[i])]))
				queue = strtol(at + strlen(irq_marks[i]), NULL, 10);
		}
	}
	closedir(d);
	return queue;
}

/* A virtio device's vectors are those of the PCI device above it. */
static DIR *open_irqs(int dir)
{
	static const char *const where[] = { "device/msi_irqs", "device/../msi_irqs" };

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		int fd = openat(dir, where[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd < 0 ? NULL : fdopendir(fd);

		if (d)
			return d;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static int find_irqs(int dir, struct numbered *irqs)
{
	struct dirent *e;
	int n = 0;
	DIR *d;

	d = open_irqs(dir);
	if (!d)
		return 0;
	while (n < PLACE_MAX && (e = readdir(d))) {
		int irq = to_id(e->d_name);
		long queue = irq < 0 ? -1 : irq_queue(irq);

		if (queue >= 0)
			irqs[n++] = (struct numbered){ queue, irq };
	}
	closedir(d);
	return n;
}

/* The note of where an interrupt was; NULL: it was not moved yet. */
static struct moved_irq *find_moved(struct place *p, int irq)
{
	for (int i = 0; i < p->n; i++)
		if (p->moved[i].irq == irq)
			return &p->moved[i];
	return NULL;
}

static void place_irq(struct place *p, const struct numbered *irq)
{
	uint16_t cpu = p->cpus[irq->number % p->n_cpus];
	struct moved_irq *was = find_moved(p, irq->id);
	struct moved_irq now = { .irq = irq->id };
	char path[64], list[8];
	int rc = 0;

	if (!was && p->n == PLACE_MAX)
		return;
	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", irq->id);
	snprintf(list, sizeof(list), "%u", cpu);
	if (!was)
		rc = netdev_sysfs_read(AT_FDCWD, path, now.cpus, sizeof(now.cpus));
	if (!rc)
		rc = netdev_sysfs_write(AT_FDCWD, path, list);
	if (rc)
		log_debug("interrupt %d stays where it is: %s", irq->id, strerror(-rc));
	else if (!was)
		p->moved[p->n++] = now;
}

static void place_irqs(struct place *p, int dir)
{
	struct numbered irqs[PLACE_MAX];
	int n = find_irqs(dir, irqs);

	for (int i = 0; i < n; i++)
		place_irq(p, &irqs[i]);
	note_write(p);
}

/* ---- threaded NAPI ----------------------------------------------------------------- */

/* kthreads "napi/IFACE-ID", by pid. */
static int find_kthreads(const char *ifname, struct numbered *threads)
{
	char head[32], path[64], comm[64];
	struct dirent *e;
	int n = 0, len;
	DIR *d;

	len = snprintf(head, sizeof(head), "napi/%s-", ifname);
	d = opendir("/proc");
	if (!d)
		return 0;
	while (n < PLACE_MAX && (e = readdir(d))) {
		int pid = to_id(e->d_name);

		if (pid < 0)
			continue;
		/* The whole name of a kthread, not cut to 15 characters, since 5.17. */
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (netdev_sysfs_read(AT_FDCWD, path, comm, sizeof(comm)) ||
		    strncmp(comm, head, (size_t)len) || to_id(comm + len) < 0)
			continue;
		threads[n++] = (struct numbered){ to_id(comm + len), pid };
	}
	closedir(d);
	return n;
}

static bool has_id(const struct numbered *list, int n, int id)
{
	for (int i = 0; i < n; i++)
		if (list[i].id == id)
			return true;
	return false;
}

/* Pin our kthreads, in the order of their queues. */
static void pin_kthreads(struct place *p)
{
	struct numbered now[PLACE_MAX];
	int n = find_kthreads(p->ifname, now), ours = 0;

	qsort(now, (size_t)n, sizeof(now[0]), by_number);
	for (int i = 0; i < n; i++) {
		cpu_set_t set;

		if (has_id(p->others, p->n_others, now[i].id))
			continue;
		CPU_ZERO(&set);
		CPU_SET(p->cpus[ours++ % p->n_cpus], &set);
		if (sched_setaffinity(now[i].id, sizeof(set), &set))
			log_debug("NAPI thread %d stays where it is: %s", now[i].id,
				  strerror(errno));
	}
}

/* Switch threaded NAPI on and pin the kthreads that it brings. */
static bool place_threads(struct place *p, int dir)
{
	char was[16];

	if (netdev_sysfs_read(dir, "threaded", was, sizeof(was)))
		return false;
	p->n_others = find_kthreads(p->ifname, p->others);
	if (strcmp(was, "0"))
		return true;
	if (netdev_sysfs_write(dir, "threaded", "1"))
		return false;
	p->threaded = true;
	note_write(p);
	pin_kthreads(p);
	return true;
}

/* ---- both ------------------------------------------------------------------------- */

/* Its directory in sysfs, by the name that it has now. */
static int open_device(const struct place *p)
{
	char name[IF_NAMESIZE];

	return if_indextoname(p->ifindex, name) ? netdev_sysfs_open(name) : -ENODEV;
}

int place_apply(struct place **out, const char *ifname, const uint16_t *cpus, int n_cpus,
		const char *note, struct vmq_err *err)
{
	struct place *p;
	int dir;

	p = calloc(1, sizeof(*p));
	if (!p)
		return vmq_err(err, -ENOMEM, "no memory to place the receive work of %s", ifname);
	p->kind = "none";
	p->cpus = cpus;
	p->n_cpus = n_cpus;
	snprintf(p->ifname, sizeof(p->ifname), "%s", ifname);
	p->ifindex = if_nametoindex(ifname);
	if (note)
		snprintf(p->note, sizeof(p->note), "%s", note);
	note_read(p);
	*out = p;
	if (n_cpus <= 0)
		return 0;
	dir = open_device(p);
	if (dir < 0)
		return 0;
	place_irqs(p, dir);
	if (p->n)
		p->kind = "irq";
	else if (place_threads(p, dir))
		p->kind = "threaded";
	close(dir);
	return 0;
}

void place_refresh(struct place *p)
{
	int dir;

	if (!p || p->n_cpus <= 0)
		return;
	dir = open_device(p);
	if (dir < 0)
		return;
	if (p->threaded)
		pin_kthreads(p);
	else if (p->n)
		place_irqs(p, dir);
	close(dir);
}

const char *place_describe(const struct place *p)
{
	return p->kind;
}

/*
 * Errors are ignored: the device may be gone. So may an interrupt, and its number
 * may be another device's by now: only those are put back that still are ours.
 */
void place_undo(struct place *p)
{
	struct numbered irqs[PLACE_MAX];
	const struct moved_irq *was;
	char path[64];
	int dir, n;

	if (!p)
		return;
	dir = open_device(p);
	if (dir >= 0) {
		if (p->threaded)	/* the kthreads end with it, or sleep (before 6.17) */
			netdev_sysfs_write(dir, "threaded", "0");
		n = p->n ? find_irqs(dir, irqs) : 0;
		for (int i = 0; i < n; i++) {
			was = find_moved(p, irqs[i].id);
			if (!was)
				continue;
			snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", was->irq);
			netdev_sysfs_write(AT_FDCWD, path, was->cpus);
		}
		close(dir);
	}
	if (p->note[0])
		unlink(p->note);
	free(p);
}

void place_undo_noted(const char *note)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return;
	snprintf(p->note, sizeof(p->note), "%s", note);
	note_read(p);
	place_undo(p);
}
