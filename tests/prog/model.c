// SPDX-License-Identifier: GPL-2.0-only
/*
 * model.c - controllers that know what must come of what they ask
 *
 *	model --seconds N --clients N [--seed N] [--wire IFACE] [--restarts]
 *
 * churn.c asks for anything and takes any answer. Each client here has names, addresses
 * and a model of its own: for each of its requests, made at random, it knows the code
 * that must be answered, and afterwards compares what the service says (queue.show,
 * filter.list, rss.show), what is in the pinned maps and where a frame on the wire goes
 * with the model. So one client's mistake, or another's, is seen at the step that made it.
 *
 * Some requests are sent and not waited for: the connection is closed at once, and what
 * was asked for must be there soon all the same, or nothing of it. With --restarts the
 * service may be killed and started again at any moment: of the request that it was at,
 * all or nothing must be there, if it made or deleted a queue, and else all of each part.
 *
 * --wire: an interface on the other end of the wire, for frames. Rules that are the
 * service's own (how many CPUs there are) are asked for and not known here.
 */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model_ask.h"
#include "prog.h"

static const struct opt table[] = {
	O("seconds", 's', "N", seconds, "how long (default 5)"),
	O("clients", 'c', "N", clients, "how many at once (default 3)"),
	O("seed", 0, "N", seed, "to do the same again"),
	O("wire", 'w', "IFACE", wire, "send frames there"),
	O("netns", 'n', "PATH", netns, "in that network namespace"),
	F("restarts", 'r', restarts, "the service is killed and comes again"),
	F("scarce", 0, scarce, "there may be no queue, pair or buffer left"),
	F("help", 'h', help, "show this help"),
	{ .name = NULL },
};

/* ---- a step ---------------------------------------------------------------------- */

/* A new queue's CPUs are the service's choice, also that of a key's. */
static void adopt_placement(struct model *m, const struct model *got)
{
	for (int i = 0; i < NAMES; i++) {
		struct model_queue *q = &m->q[i];
		const struct model_queue *g = &got->q[i];

		if (!q->there || q->entries >= 0 || !g->there)
			continue;
		q->entries = g->entries;
		q->fallback = g->fallback;
		q->primary = g->primary;
		memcpy(q->table, g->table, sizeof(q->table));
	}
}

/* Each of a batch has its own outcome. */
static void adopt_completion(struct model *m, const struct model *got)
{
	for (int i = 0; i < NAMES; i++)
		m->q[i].complete = m->q[i].complete && got->q[i].complete;
}

/* A request that a kill -9 leaves done or not done. */
static bool is_whole(const struct client *c)
{
	static const char *const whole[] = {
		"queue.add", "queue.alloc", "queue.import", "queue.free", "queue.pause", "queue.resume",
		"filter.del", "filter.move",
	};

	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		if (!strcmp(c->method, whole[i]))
			return true;
	return !strcmp(c->method, "queue.del") && strstr(c->what, "\"name\"");
}

/* Others leave parts of it: @want becomes what @got is of either. */
static void take_parts(struct model *want, const struct model *other, const struct model *got)
{
	for (int i = 0; i < NAMES; i++) {
		struct model_queue *w = &want->q[i];
		const struct model_queue *o = &other->q[i], *g = &got->q[i];

		if (w->there != g->there)
			*w = *o;
		if (!w->there || !o->there)
			continue;
#define PART(field) (w->field = w->field == g->field ? w->field : o->field)
		PART(complete), PART(trust), PART(gro), PART(paused), PART(rss), PART(pairs);
		PART(rule), PART(weight), PART(vm), PART(entries), PART(fallback), PART(primary);
		for (int k = 0; k < VMQ_RSS_ENTRIES_MAX; k++)
			PART(table[k]);
	}
	for (int i = 0; i < MACS * RULES; i++) {
		int *w = &want->to[i / RULES][i % RULES];

		*w = *w == got->to[i / RULES][i % RULES] ? *w : other->to[i / RULES][i % RULES];
	}
}

static void detach_all(struct model *m)
{
	for (int i = 0; i < NAMES; i++)
		if (m->q[i].there && m->q[i].attached)
			forget_queue(m, i);
}

/*
 * Nobody waited for the answer: wait until there is what was asked for, or what was
 * there before if it @may not have been done.
 */
static int settle(struct client *c, struct model *want, bool may_not)
{
	/* What nobody is at any more after a restart is not going to be done. */
	uint64_t give_up = now_ns() + (may_not ? WAIT_NS / 20 : WAIT_NS);
	struct model got;
	const char *why = "";
	int rc;

	while (!broken) {
		rc = read_model(c, &got);
		if (rc < 0)
			return rc;
		if (!rc) {
			adopt_placement(want, &got);
			if (may_not && !is_whole(c))
				take_parts(want, &c->is, &got);
			if (opt.scarce && !strcmp(c->method, "queue.complete"))
				adopt_completion(want, &got);
			why = difference(c, want, &got);
			if (!why) {
				c->is = got;
				return 0;
			}
			if (may_not && !difference(c, &c->is, &got))
				return 0;
		}
		if (now_ns() > give_up) {
			complain(c, "half of it: %s", why);
			return -EIO;
		}
		doze();
	}
	return -ECANCELED;
}

static int look(struct client *c)
{
	struct model got;
	const char *why;
	int rc;

	rc = read_model(c, &got);
	if (rc < 0)
		return rc;
	why = rc ? "a queue is between two states" : difference(c, &c->is, &got);
	if (why) {
		complain(c, "%s", why);
		return -EIO;
	}
	check_maps(c);
	return check_frame(c);
}

static bool is_right(const struct codes *e, int rc)
{
	for (int i = 0; i < e->n; i++)
		if (e->code[i] == rc)
			return true;
	return (!e->n && !rc) || (opt.scarce && rc == -ENOBUFS);
}

/* Say it and be gone. */
static int cut(struct client *c, json_t *params)
{
	struct vmq *v = NULL;
	int rc = connect_to(c, &v);
	char *text;

	if (rc) {
		json_decref(params);
		return rc;
	}
	text = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	vmq_set_timeout(v, 0);
	rc = vmq_call(v, c->method, text, NULL);
	free(text);
	vmq_close(v);
	cut_off++;
	if (rc == -ECONNRESET || rc == -EPIPE)
		return -ECONNRESET;
	return settle(c, &c->next, false);
}

static int step(struct client *c)
{
	unsigned all = 0, d = 0, at;
	struct codes e = { .n = 0 };
	struct vmq *v;
	bool attached;
	json_t *params;
	char *text;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++)
		all += deeds[i].weight;
	for (at = pick(c, all); at >= deeds[d].weight; d++)
		at -= deeds[d].weight;
	c->method = deeds[d].method;
	c->what[0] = '\0';
	c->next = c->is;
	/* It may leave a queue waiting, which comes to run when others end. */
	params = opt.scarce && deeds[d].ask == ask_import ? NULL : deeds[d].ask(c, &e);
	if (!params)
		return 0;
	text = json_dumps(params, JSON_COMPACT);
	snprintf(c->what, sizeof(c->what), "%s", text);
	free(text);
	attached = deeds[d].ask == ask_attached;
	/* What changes nothing would be waited for in vain. */
	if (!attached && !opt.scarce && !e.n && !pick(c, 8) && difference(c, &c->next, &c->is))
		return cut(c, params);
	v = attached ? c->attached : c->v;
	rc = call_on(c, v, c->method, params, NULL);
	if (rc == -ECONNRESET)
		return rc;
	if (!is_right(&e, rc)) {
		complain(c, "answers %d (%s), not %d", -rc, rc ? vmq_error(v) : "done",
			 e.n ? -e.code[0] : 0);
		return -EIO;
	}
	if (rc) {
		refused++;
		c->next = c->is;
		return 0;
	}
	return settle(c, &c->next, false);
}

/* The service has died. Of what it was at, all or nothing. */
static int recover(struct client *c)
{
	int rc;

	restarts++;
	do {
		rc = connect_to(c, &c->v);
		if (!rc)
			rc = connect_to(c, &c->attached);
		if (rc)
			return rc;
		detach_all(&c->is);
		detach_all(&c->next);
		rc = settle(c, &c->next, true);
	} while (rc == -ECONNRESET && !broken);
	return rc;
}

static int hang_up(struct client *c)
{
	struct model want = c->is;
	int rc;

	c->method = "hang up";
	c->what[0] = '\0';
	detach_all(&want);
	rc = connect_to(c, &c->attached);
	return rc ? rc : settle(c, &want, false);
}

static void *control(void *arg)
{
	struct client *c = arg;
	int rc;

	rc = connect_to(c, &c->v);
	if (!rc)
		rc = connect_to(c, &c->attached);
	while (!rc && !broken && now_ns() < end_ns) {
		rc = step(c);
		if (!rc)
			rc = look(c);
		if (!rc && !pick(c, 25)) {
			c->next = c->is;
			rc = hang_up(c);
		}
		if (rc == -ECONNRESET && opt.restarts)
			rc = recover(c);
	}
	/* All of ours away: no filter may hold a queue, and none is left. */
	for (int i = 0; i < NAMES && !broken; i++)
		if (c->is.q[i].there)
			call_on(c, c->v, "queue.del", json_pack("{s:s}", "name", name(c, i)), NULL);
	for (int i = 0; i < MACS * RULES && !broken; i++)
		if (c->is.to[i / RULES][i % RULES] >= NAMES)
			call_on(c, c->v, "filter.del", json_pack("{s:o, s:s}", "mac",
								  mac_word(c, i / RULES), "vlan",
								  rule_word[i % RULES]), NULL);
	vmq_close(c->v);
	vmq_close(c->attached);
	return NULL;
}

/* A packet socket there; the program itself stays where it is. */
static int open_wire(const char *netns, const char *iface)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET };
	int there = open(netns, O_RDONLY | O_CLOEXEC), here, fd = -1;

	here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (there < 0 || here < 0 || setns(there, CLONE_NEWNET))
		goto out;
	addr.sll_ifindex = (int)if_nametoindex(iface);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (!addr.sll_ifindex || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))) {
		close(fd);
		fd = -1;
	}
	if (setns(here, CLONE_NEWNET))
		abort();
out:
	if (fd < 0)
		perror("model: --wire");
	if (there >= 0)
		close(there);
	if (here >= 0)
		close(here);
	return fd;
}

int main(int argc, char **argv)
{
	static struct client c[CLIENTS];
	struct vmq_err err = VMQ_ERR_INIT;
	unsigned i, n, seed;
	int rc;

	opts_parse(table, &opt, &argc, argv, &err);
	rc = prog_status("model", table, argc, &err, opt.help, NULL);
	if (rc >= 0)
		return rc;
	n = opt.clients ? (unsigned)atoi(opt.clients) : 3;
	seed = opt.seed ? (unsigned)strtoul(opt.seed, NULL, 0) : (unsigned)now_ns();
	if (!n || n > CLIENTS || !opt.wire != !opt.netns) {
		fprintf(stderr, "model: 1 to %d clients; --wire with --netns\n", CLIENTS);
		return 2;
	}
	if (opt.wire) {
		wire_fd = open_wire(opt.netns, opt.wire);
		if (wire_fd < 0)
			return 1;
	}
	fprintf(stderr, "model: seed %u\n", seed);
	end_ns = now_ns() + (uint64_t)((opt.seconds ? atof(opt.seconds) : 5) * 1e9);
	for (i = 0; i < n; i++) {
		c[i].n = i;
		c[i].seed = seed + i;
		memset(c[i].is.to, 0xff, sizeof(c[i].is.to));
		for (int k = 0; k < NAMES; k++)
			snprintf(c[i].word[k], sizeof(c[i].word[k]), "m%u%c", i, 'a' + k);
		snprintf(c[i].word[TO_HOST], sizeof(c[i].word[0]), "host");
		snprintf(c[i].word[TO_DROP], sizeof(c[i].word[0]), "drop");
		if (pthread_create(&c[i].thread, NULL, control, &c[i]))
			return 1;
	}
	for (i = 0; i < n; i++)
		pthread_join(c[i].thread, NULL);
	printf("{\"calls\":%lu,\"refused\":%lu,\"cut_off\":%lu,\"restarts\":%lu,\"frames\":%lu}\n", calls,
	       refused, cut_off, restarts, frames);
	return broken ? 1 : 0;
}
