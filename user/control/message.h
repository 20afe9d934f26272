/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message.h - the text of the control protocol
 *
 * JSON in, a checked request out; a result or an error in, JSON out. No
 * sockets here: server.c carries what this makes, and a test can give it
 * anything. Control thread only.
 */
#ifndef VMQ_MESSAGE_H
#define VMQ_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "control/server.h"

/* A request as it came. `method` and `params` are borrowed from `root`. */
struct message {
	json_t	   *root;
	bool	    has_id;	/* else the error is answered with "id":null */
	json_int_t  id;
	const char *method;
	json_t	   *params;	/* object, or NULL */
	size_t	    memfd;	/* not 0: no method; the request is in a memfd, so long */
};

/**
 * message_parse() - take a message apart
 * @m: what it says; valid up to the error, so that a bad request with a good
 *     id gets its id back. message_clear() in any case.
 * @text: one message; need not end with a NUL
 * @len: its length
 * @err: sentence
 *
 * Return: 0; -EPROTO if it is no request of this version of the protocol.
 */
int message_parse(struct message *m, const char *text, size_t len, struct vmq_err *err);
void message_clear(struct message *m);

/**
 * message_check() - compare parameters with a method's table
 * @method: which
 * @params: object, or NULL for none
 * @err: sentence that names the parameter
 *
 * Return: 0; -EINVAL if one is missing, unknown or of the wrong type.
 */
int message_check(const struct method *method, json_t *params, struct vmq_err *err);

/*
 * Texts to send, for free(); NULL without memory. @has_id false gives
 * "id":null. message_result() takes over @result. An error without a sentence
 * gets the system's. message_part(): @n bytes of a longer text.
 */
char *message_result(json_int_t id, json_t *result);
char *message_error(bool has_id, json_int_t id, int code, const char *sentence);
char *message_part(json_int_t id, const char *text, size_t n, bool more);
char *message_event(json_t *event);	/* borrowed; "version" is added */

#endif /* VMQ_MESSAGE_H */
