/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * protocol.h - the numbers of the control protocol
 *
 * What both ends of the control socket must agree on: user/control/ and
 * user/libvmq/. vmq-protocol(7) has them in words.
 */
#ifndef VMQ_PROTOCOL_H
#define VMQ_PROTOCOL_H

#define PROTOCOL_VERSION	1
#define MESSAGE_MAX		(256 * 1024)	/* bytes of one message */
#define MESSAGE_FDS_MAX		16		/* descriptors beside one message */

/*
 * A reply longer than REPLY_MAX travels as several messages, each with at most
 * PART_MAX bytes of its text. A datagram socket copies a message into one
 * sk_buff, whose part beyond 16 pages must be physically contiguous
 * (unix_dgram_sendmsg()): up to 64 KiB that is an allocation which succeeds.
 */
#define REPLY_MAX		(64 * 1024)
#define PART_MAX		(32 * 1024)

/*
 * A request longer than MESSAGE_MAX travels in a memfd, beside a message that
 * says only where it is: 65,536 filters as one change are 5 MB.
 */
#define REQUEST_MAX		(16 * 1024 * 1024)

#endif /* VMQ_PROTOCOL_H */
