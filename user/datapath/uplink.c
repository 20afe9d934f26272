// SPDX-License-Identifier: GPL-2.0-only
/*
 * uplink.c - a packet socket beside queue 0
 *
 * DOC: Theory of operation
 *
 * XDP cannot copy a frame to several sockets, so broadcast and multicast are
 * passed to the host, and the switch takes its copy here; so it does with frames
 * for VMs that have no Running queue, which the XDP program passes for want of a
 * filter. The host's own traffic is untouched: a packet socket gets clones, and
 * the BPF filter ends what is not for VMs before anything is queued.
 *
 * The order of the first steps matters. A packet socket made with protocol 0
 * hears nothing; the filter is attached and the options set, and only then is it
 * bound to a protocol and the interface. Nothing else ever gets in.
 *
 * What the kernel has done to a frame by then is undone here:
 *  - the outermost tag is out of the frame, always (skb_vlan_untag(), by NIC or
 *    kernel); PACKET_AUXDATA tells it, and it goes back to where it was;
 *  - GRO has joined segments, up to 64 KiB; PACKET_VNET_HDR tells how;
 *  - a checksum of a frame that never met a wire (a veth's) may be half done.
 *
 * The NIC must let group addresses in that the host has not joined, IPv6
 * neighbour discovery of the VMs among them: PACKET_MR_ALLMULTI, which the
 * kernel undoes when the socket closes, however we die. The VMs' unicast
 * addresses are the adapter's business (adapter/netdev.h).
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/csum.h"
#include "common/util.h"
#include "common/gso.h"
#include "datapath/switch.h"
#include "datapath/uplink.h"
#include "uplink.skel.h"

#define UPLINK_BATCH	16
#define UPLINK_RCVBUF	(8 << 20)
/* The longest IP packet, its Ethernet header and inner tags, rounded up. */
#define UPLINK_FRAME	(65536 + 64)
#define UPLINK_FRONT	8	/* room in front of a frame, for its tag */

/* Everything one message is received into. */
struct uplink_slot {
	struct virtio_net_hdr vh;
	struct iovec iov[2];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	uint8_t front[UPLINK_FRONT];
	uint8_t frame[UPLINK_FRAME];
};

struct uplink {
	struct source source;
	struct uplink_bpf *bpf;
	struct worker *worker;	/* while started */
	enum uplink_fate (*frame)(void *arg, const struct frame_info *fi, uint16_t vlan);
	void	*arg;
	int	 ifindex;
	char	 ifname[16];
	struct uplink_stats *stats;	/* the worker's, but `dropped`; kept, or: */
	struct uplink_stats own_stats;
	struct mmsghdr msg[UPLINK_BATCH];
	struct uplink_slot slot[UPLINK_BATCH];
	uint8_t	 segment[UPLINK_FRAME];
};

/* ---- frames (in the worker) -------------------------------------------- */

static void uplink_deliver(struct uplink *u, const uint8_t *data, uint32_t len)
{
	uint64_t *const count[] = {
		[UPLINK_IGNORED] = &u->stats->ignored,
		[UPLINK_FLOODED] = &u->stats->flooded,
		[UPLINK_CARRIED] = &u->stats->carried,
	};
	struct frame_info fi;

	counter_add(&u->stats->frames, 1);
	if (frame_look(&fi, data, len))
		counter_add(count[u->frame(u->arg, &fi, switch_vlan_of(&fi))], 1);
	else
		counter_add(&u->stats->malformed, 1);
}

static void uplink_malformed(struct uplink *u)
{
	counter_add(&u->stats->frames, 1);
	counter_add(&u->stats->malformed, 1);
}

static void uplink_segments(struct uplink *u, const uint8_t *data, uint32_t len,
			    const struct virtio_net_hdr *vh)
{
	struct gso g;
	int n;

	if (gso_begin(&g, data, len, vh->gso_type, vh->gso_size)) {
		uplink_malformed(u);
		return;
	}
	while ((n = gso_next(&g, u->segment, sizeof(u->segment))) > 0)
		uplink_deliver(u, u->segment, (uint32_t)n);
}

/*
 * The tag that the kernel took out of the frame, as it was in it.
 * Return: false if there was none.
 */
static bool uplink_tag(const struct msghdr *mh, uint8_t tag[VLAN_HLEN])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);
	struct tpacket_auxdata aux;
	uint16_t tpid = ETH_P_8021Q;

	if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
		return false;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
		return false;
	if (aux.tp_status & TP_STATUS_VLAN_TPID_VALID)
		tpid = aux.tp_vlan_tpid;
	frame_put_tag(tag, tpid, aux.tp_vlan_tci);
	return true;
}

static void uplink_take(struct uplink *u, struct uplink_slot *s, const struct mmsghdr *msg)
{
	uint32_t len = msg->msg_len, moved = 0;
	uint8_t *data = s->frame;
	uint8_t tag[VLAN_HLEN];

	if (msg->msg_hdr.msg_flags & MSG_TRUNC || len < sizeof(s->vh) + ETH_HLEN) {
		uplink_malformed(u);
		return;
	}
	len -= sizeof(s->vh);
	if (uplink_tag(&msg->msg_hdr, tag)) {
		moved = VLAN_HLEN;
		len += moved;
		data -= moved;
		memmove(data, s->frame, 2 * ETH_ALEN);
		memcpy(data + 2 * ETH_ALEN, tag, VLAN_HLEN);
	}
	if (s->vh.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		uplink_segments(u, data, len, &s->vh);
		return;
	}
	if (s->vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    csum_complete(data, len, s->vh.csum_start + moved, s->vh.csum_offset)) {
		uplink_malformed(u);
		return;
	}
	uplink_deliver(u, data, len);
}

static int uplink_poll(struct source *s)
{
	struct uplink *u = container_of(s, struct uplink, source);
	int n;

	for (int i = 0; i < UPLINK_BATCH; i++) {
		u->msg[i].msg_hdr.msg_control = u->slot[i].control;
		u->msg[i].msg_hdr.msg_controllen = sizeof(u->slot[i].control);
	}
	n = recvmmsg(s->fd, u->msg, UPLINK_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		uplink_take(u, &u->slot[i], &u->msg[i]);
	if (n >= 0)
		return n;
	switch (errno) {
	case EINVAL:	/* a frame that virtio_net_hdr_from_skb() has no words for */
		uplink_malformed(u);
		return 1;
	case ENETDOWN:	/* told once; frames may follow when it is up again */
		return 1;
	default:	/* EAGAIN: none; ENODEV: the interface has gone for ever */
		return 0;
	}
}

/* ---- the socket (control thread) ---------------------------------------- */

static int uplink_set(int fd, int level, int option, int value, const char *what,
		      struct vmq_err *err)
{
	if (!setsockopt(fd, level, option, &value, sizeof(value)))
		return 0;
	return vmq_err_sys(err, -errno, "cannot set %s on the switch's packet socket", what);
}

static int uplink_socket(struct uplink *u, int *out, struct vmq_err *err)
{
	struct packet_mreq allmulti = { .mr_ifindex = u->ifindex, .mr_type = PACKET_MR_ALLMULTI };
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = u->ifindex,
	};
	int size = UPLINK_RCVBUF, filter = bpf_program__fd(u->bpf->progs.uplink_filter);
	int fd, rc;

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vmq_err_sys(err, -errno, "cannot open the switch's packet socket on %s "
				   "(that needs CAP_NET_RAW)", u->ifname);
	rc = uplink_set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING", err);
	if (!rc)
		rc = uplink_set(fd, SOL_PACKET, PACKET_AUXDATA, 1, "PACKET_AUXDATA", err);
	if (!rc)
		rc = uplink_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR", err);
	if (!rc)
		rc = uplink_set(fd, SOL_SOCKET, SO_ATTACH_BPF, filter, "SO_ATTACH_BPF", err);
	if (rc)
		goto err_close;
	/* Best effort: the plain option is limited by net.core.rmem_max. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &allmulti, sizeof(allmulti)) ||
	    bind(fd, (struct sockaddr *)&sll, sizeof(sll))) {
		rc = vmq_err_sys(err, -errno, "the switch cannot listen on %s", u->ifname);
		goto err_close;
	}
	*out = fd;
	return 0;

err_close:
	close(fd);
	return rc;
}

struct uplink_call {
	struct uplink *u;
	int rc;
};

static void uplink_add_source(struct worker *w, void *arg)
{
	struct uplink_call *call = arg;

	call->rc = worker_add(w, &call->u->source);
}

static void uplink_del_source(struct worker *w, void *arg)
{
	struct uplink_call *call = arg;

	worker_del(w, &call->u->source);
}

/* Reading the kernel's count clears it. */
static void uplink_bank(struct uplink *u)
{
	struct tpacket_stats st;
	socklen_t len = sizeof(st);

	if (u->worker && !getsockopt(u->source.fd, SOL_PACKET, PACKET_STATISTICS, &st, &len))
		u->stats->dropped += st.tp_drops;
}

/**
 * uplink_start() - listen
 * @u: the uplink, stopped
 * @w: worker whose source it becomes
 * @err: sentence
 *
 * Return: 0 or -errno.
 */
int uplink_start(struct uplink *u, struct worker *w, struct vmq_err *err)
{
	struct uplink_call call = { .u = u };
	int rc;

	rc = uplink_socket(u, &u->source.fd, err);
	if (rc)
		return rc;
	worker_call(w, uplink_add_source, &call);
	if (call.rc) {
		close(u->source.fd);
		u->source.fd = -1;
		return vmq_err_sys(err, call.rc, "a worker cannot watch the switch's packet "
				   "socket");
	}
	u->worker = w;
	return 0;
}

/**
 * uplink_stop() - listen no more; the counters stay
 * @u: the uplink
 */
void uplink_stop(struct uplink *u)
{
	struct uplink_call call = { .u = u };

	if (!u->worker)
		return;
	worker_call(u->worker, uplink_del_source, &call);
	uplink_bank(u);
	close(u->source.fd);
	u->source.fd = -1;
	u->worker = NULL;
}

/* ---- the filter --------------------------------------------------------- */

static void uplink_key(uint64_t mac, uint8_t key[ETH_ALEN])
{
	for (int i = ETH_ALEN; i--; mac >>= 8)
		key[i] = (uint8_t)mac;
}

int uplink_add_mac(struct uplink *u, uint64_t mac, struct vmq_err *err)
{
	int rc, map = bpf_map__fd(u->bpf->maps.uplink_macs);
	uint8_t key[ETH_ALEN], one = 1;

	uplink_key(mac, key);
	rc = bpf_map_update_elem(map, key, &one, BPF_ANY);
	if (rc)
		return vmq_err_sys(err, rc, "cannot add an address to the switch's filter");
	return 0;
}

void uplink_del_mac(struct uplink *u, uint64_t mac)
{
	uint8_t key[ETH_ALEN];

	uplink_key(mac, key);
	bpf_map_delete_elem(bpf_map__fd(u->bpf->maps.uplink_macs), key);
}

void uplink_set_open(struct uplink *u, bool open)
{
	store_relaxed(&u->bpf->bss->uplink_open, open);
}

/* ---- open and close ----------------------------------------------------- */

/**
 * uplink_open() - load the filter and get memory; nothing is heard yet
 * @out: the uplink, stopped, its filter closed and without addresses
 * @cfg: used during the call, except `arg`
 * @err: sentence
 *
 * Return: 0 or -errno.
 */
int uplink_open(struct uplink **out, const struct uplink_config *cfg, struct vmq_err *err)
{
	struct uplink *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return vmq_err(err, -ENOMEM, "no memory for the switch on %s", cfg->ifname);
	u->source.fd = -1;
	u->source.poll = uplink_poll;
	u->source.from = FROM_WIRE;
	u->frame = cfg->frame;
	u->arg = cfg->arg;
	u->stats = cfg->stats ? cfg->stats : &u->own_stats;
	u->ifindex = cfg->ifindex;
	strncpy(u->ifname, cfg->ifname, sizeof(u->ifname) - 1);
	for (int i = 0; i < UPLINK_BATCH; i++) {
		struct uplink_slot *s = &u->slot[i];

		s->iov[0] = (struct iovec){ &s->vh, sizeof(s->vh) };
		s->iov[1] = (struct iovec){ s->frame, sizeof(s->frame) };
		u->msg[i].msg_hdr.msg_iov = s->iov;
		u->msg[i].msg_hdr.msg_iovlen = 2;
	}
	u->bpf = uplink_bpf__open_and_load();
	if (!u->bpf) {
		rc = vmq_err_sys(err, -errno, "cannot load the switch's socket filter (that needs "
				 "CAP_BPF)");
		free(u);
		return rc;
	}
	*out = u;
	return 0;
}

void uplink_close(struct uplink *u)
{
	if (!u)
		return;
	uplink_stop(u);
	uplink_bpf__destroy(u->bpf);
	free(u);
}

void uplink_stats(struct uplink *u, struct uplink_stats *out)
{
	uplink_bank(u);
	*out = (struct uplink_stats){
		.frames = load_relaxed(&u->stats->frames),
		.flooded = load_relaxed(&u->stats->flooded),
		.carried = load_relaxed(&u->stats->carried),
		.ignored = load_relaxed(&u->stats->ignored),
		.malformed = load_relaxed(&u->stats->malformed),
		.dropped = u->stats->dropped,
	};
}
