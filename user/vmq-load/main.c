/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmq-load - attach to an interface and serve it
 *
 * One process, one interface. The words of the command line are checked here;
 * everything else is the service's.
 */
#include <errno.h>
#include <malloc.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/channel.h"
#include "common/log.h"
#include "common/opts.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/service.h"

#define POLL_US 50	/* what a wake-up costs the kernel and us, and more */
#define PIN_DIR "/sys/fs/bpf/vmq"
#define RUN_DIR "/run/vmq"

struct options {
	const char *name, *run_dir, *pin_dir, *mode, *tags, *hash, *cpus, *queues, *pairs, *frames, *chunk,
		   *poll_us, *place, *balance_ms;
	bool balance, unload, keep, verbose, version, help;
};

#define O(n, l, field, a, h) \
	{ n, l, OPT_STRING, a, offsetof(struct options, field), h }
#define F(n, l, field, h) \
	{ n, l, OPT_FLAG, NULL, offsetof(struct options, field), h }

static const struct opt option_table[] = {
	O("name", 'n', name, "NAME", "name of the service: socket and pins (default: the interface)"),
	O("mode", 'm', mode, "MODE", "auto, native or skb (default auto: native, else skb)"),
	O("tags", 't', tags, "HOW", "where VLAN tags are: auto, frame or kfunc (default auto)"),
	O("hash", 0, hash, "HOW", "who hashes a queue's frames: auto, nic or software (default auto)"),
	O("cpus", 'c', cpus, "LIST", "CPUs of the workers, one each (default: all)"),
	O("queues", 'q', queues, "N", "most queues at a time (default 64)"),
	O("pairs", 0, pairs, "N", "most queue pairs of all queues together (default 4096)"),
	O("frames", 0, frames, "N", "receive buffers per RX queue (default: by --queues)"),
	O("chunk", 0, chunk, "BYTES", "2048 or 4096 (default: by the MTU)"),
	O("poll-us", 0, poll_us, "N", "poll through gaps between frames shorter than N us (default 50)"),
	O("place", 0, place, "HOW", "place the kernel's receive work: auto or off (default auto)"),
	F("balance", 'b', balance, "move queues between CPUs by their load (dynamic VMQ)"),
	O("balance-ms", 0, balance_ms, "N", "with --balance: look every N milliseconds (default 1000)"),
	F("keep", 'k', keep, "on exit leave program, pins and TAPs for the next run"),
	F("unload", 'u', unload, "remove what a dead service has left, and exit"),
	O("run-dir", 0, run_dir, "DIR", "sockets and locks (default " RUN_DIR ")"),
	O("pin-dir", 0, pin_dir, "DIR", "pins (default " PIN_DIR ")"),
	F("verbose", 'v', verbose, "say more"),
	F("version", 'V', version, "print the version and exit"),
	F("help", 'h', help, "print this help and exit"),
	{ .name = NULL },
};

static void usage(FILE *out)
{
	const struct channel_ops *const *kind;

	fprintf(out, "Usage: vmq-load [OPTIONS] INTERFACE\n"
		     "       vmq-load --unload [OPTIONS] INTERFACE\n\n"
		     "Give virtual machines their own receive queues on an interface.\n\n");
	opts_help(option_table, out);
	fprintf(out, "\nChannels of this build:");
	for (kind = channel_kinds; *kind; kind++)
		fprintf(out, " %s", (*kind)->usage);
	fprintf(out, "\n");
}

/* One of the words of a table; its index. */
static int parse_word(const char *word, const char *what, const char *const *words,
		      struct vmq_err *err)
{
	char list[128] = "";
	int i;

	for (i = 0; words[i]; i++) {
		if (!strcmp(word, words[i]))
			return i;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 words[i]);
	}
	return vmq_err(err, -EINVAL, "--%s %s: choose from %s", what, word, list);
}

static int parse_enum(const char *word, const char *what, const char *const *words, int *out,
		      struct vmq_err *err)
{
	int rc;

	if (!word)
		return 0;
	rc = parse_word(word, what, words, err);
	if (rc < 0)
		return rc;
	*out = rc;
	return 0;
}

static int parse_u32(const char *word, const char *what, uint64_t min, uint64_t max,
		     uint32_t *out, struct vmq_err *err)
{
	uint64_t v;
	int rc;

	if (!word)
		return 0;
	rc = parse_number(word, what, min, max, &v, err);
	if (!rc)
		*out = v;
	return rc;
}

/* Every CPU that this process may run on. */
static int all_cpus(uint16_t *cpu, int max)
{
	cpu_set_t set;
	int i, n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 0;
	for (i = 0; i < CPU_SETSIZE && n < max; i++)
		if (CPU_ISSET(i, &set))
			cpu[n++] = i;
	return n;
}

static int configure(const struct options *o, const char *ifname, struct service_config *c,
		     struct vmq_err *err)
{
	static const char *const modes[] = { "auto", "native", "skb", NULL };
	static const char *const tags[] = { "auto", "frame", "kfunc", NULL };
	static const char *const hashes[] = { "auto", "nic", "software", NULL };
	static const char *const places[] = { "auto", "off", NULL };
	int mode = ATTACH_AUTO, tag = ATTACH_TAGS_AUTO, hash = ATTACH_HASH_AUTO, place = 0, rc;
	size_t path;

	*c = (struct service_config){
		.attach = {
			.ifname = ifname,
			.name = o->name ? o->name : ifname,
			.pin_dir = o->pin_dir ? o->pin_dir : PIN_DIR,
			.run_dir = o->run_dir ? o->run_dir : RUN_DIR,
			.queues = 64,
			.slots = VMQ_SLOTS_MAX,
			.lost = service_discard_channel,
		},
		.poll_us = POLL_US,
		.keep = o->keep,
	};
	if (!o->name && strlen(ifname) >= VMQ_NAME_MAX)
		return vmq_err(err, -EINVAL, "%.40s... is too long for the name of a service: give "
			       "one with --name", ifname);
	if ((rc = parse_name(c->attach.name, "service name", VMQ_NAME_MAX, err)) ||
	    (rc = parse_enum(o->mode, "mode", modes, &mode, err)) ||
	    (rc = parse_enum(o->tags, "tags", tags, &tag, err)) ||
	    (rc = parse_enum(o->hash, "hash", hashes, &hash, err)) ||
	    (rc = parse_enum(o->place, "place", places, &place, err)) ||
	    (rc = parse_u32(o->queues, "--queues", 1, VMQ_QUEUES_MAX, &c->attach.queues, err)) ||
	    (rc = parse_u32(o->pairs, "--pairs", 1, VMQ_SLOTS_MAX, &c->attach.slots, err)) ||
	    (rc = parse_u32(o->frames, "--frames", 64, 1 << 20, &c->frames, err)) ||
	    (rc = parse_u32(o->chunk, "--chunk", 2048, 4096, &c->chunk, err)) ||
	    (rc = parse_u32(o->poll_us, "--poll-us", 0, 1000000, &c->poll_us, err)) ||
	    (rc = parse_u32(o->balance_ms, "--balance-ms", 100, 60000, &c->balance_ms, err)))
		return rc;
	path = strlen(c->attach.run_dir) + strlen("/") + strlen(c->attach.name) + strlen(".place");
	if (path >= SOCKET_PATH_MAX)
		return vmq_err(err, -EINVAL, "the path of the control socket would be too long, with "
			       "%zu of %d characters; use a shorter --run-dir or --name", path,
			       SOCKET_PATH_MAX - 1);
	if (c->attach.slots < c->attach.queues)
		return vmq_err(err, -EINVAL, "--pairs %u: each of %u queues (--queues) needs one",
			       c->attach.slots, c->attach.queues);
	if (o->balance_ms && !o->balance)
		return vmq_err(err, -EINVAL, "--balance-ms without --balance");
	if (o->balance && !o->balance_ms)
		c->balance_ms = 1000;
	if (c->chunk && c->chunk != 2048 && c->chunk != 4096)
		return vmq_err(err, -EINVAL, "--chunk %u: choose 2048 or 4096", c->chunk);
	c->attach.mode = mode;
	c->attach.tags = tag;
	c->attach.hash = hash;
	c->place = place == 0;
	c->n_cpus = o->cpus ? parse_cpus(o->cpus, c->cpu, ARRAY_SIZE(c->cpu), err)
			    : all_cpus(c->cpu, ARRAY_SIZE(c->cpu));
	return MIN(c->n_cpus, 0);
}

static int fail(const struct vmq_err *err)
{
	log_err("%s", err->text);
	return vmq_err_exit(err->code);
}

static int usage_error(const struct vmq_err *err)
{
	log_err("%s", err->text);
	return 2;
}

int main(int argc, char **argv)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct service_config cfg;
	struct options o = { 0 };
	struct service *s;
	int rc;

	/*
	 * The control thread allocates; those that close sockets come and go, and each
	 * would get an arena with 64 MiB of address space (glibc, malloc/arena.c).
	 */
	mallopt(M_ARENA_MAX, 1);
	log_init("vmq-load", false);
	if (opts_parse(option_table, &o, &argc, argv, &err))
		return usage_error(&err);
	log_init("vmq-load", o.verbose);
	if (o.help) {
		usage(stdout);
		return 0;
	}
	if (o.version) {
		printf("vmq-load %s\n", VMQ_VERSION);
		return 0;
	}
	if (argc != 2) {
		vmq_err(&err, -EINVAL, "%s; see --help",
			argc < 2 ? "name an interface" : "name one interface only");
		return usage_error(&err);
	}
	if (configure(&o, argv[1], &cfg, &err))
		return usage_error(&err);
	if (o.unload)
		return service_unload(&cfg.attach, &err) ? fail(&err) : 0;

	if (service_open(&s, &cfg, &err))
		return fail(&err);
	rc = service_run(s, &err);
	service_close(s);
	return rc ? fail(&err) : 0;
}
