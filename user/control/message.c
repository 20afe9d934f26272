// SPDX-License-Identifier: GPL-2.0-only
/*
 * message.c - the text of the control protocol
 *
 * Strict on purpose: a key that is not known is refused and named. A request
 * whose "parms" was silently ignored would do something else than was asked.
 *
 * jansson bounds what a hostile text can do: nesting stops at 2,048 levels
 * (JSON_PARSER_MAX_DEPTH), hashes are seeded, invalid UTF-8 and NULs in strings
 * are errors. What we send is plain ASCII (JSON_ENSURE_ASCII), so that a long
 * reply may be cut anywhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/util.h"
#include "control/message.h"

/* 15 digits: 8.1 goes out as 8.1 and not as 8.0999999999999996. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

static const char *const request_keys[] = { "version", "id", "method", "params", NULL };
static const char *const memfd_keys[] = { "version", "id", "memfd", NULL };

static bool is_integer(const json_t *v)
{
	return json_is_integer(v);
}

static bool is_boolean(const json_t *v)
{
	return json_is_boolean(v);
}

static bool is_string(const json_t *v)
{
	return json_is_string(v);
}

static bool is_object(const json_t *v)
{
	return json_is_object(v);
}

/* By enum param_type: what a value, or each element of an array, must be. */
static const struct {
	bool (*is)(const json_t *v);
	bool array;
	const char *words;
} types[] = {
	[PARAM_STRING] = { is_string, false, "a string" },
	[PARAM_INT] = { is_integer, false, "a whole number" },
	[PARAM_BOOL] = { is_boolean, false, "true or false" },
	[PARAM_STRINGS] = { is_string, true, "a list of strings" },
	[PARAM_INTS] = { is_integer, true, "a list of whole numbers" },
	[PARAM_OBJECT] = { is_object, false, "an object" },
	[PARAM_OBJECTS] = { is_object, true, "a list of objects" },
};

static int check_keys(json_t *root, const char *const *keys, const char *words,
		      struct vmq_err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value) {
		bool known = false;

		for (int i = 0; keys[i]; i++)
			known |= !strcmp(key, keys[i]);
		if (!known)
			return vmq_err(err, -EPROTO, "%s, no '%.40s'", words, key);
	}
	return 0;
}

/* The request is elsewhere, and the message says only that. */
static int parse_memfd(struct message *m, const json_t *memfd, struct vmq_err *err)
{
	json_int_t len = json_integer_value(memfd);

	if (!json_is_integer(memfd) || len < 1)
		return vmq_err(err, -EPROTO, "\"memfd\" is not the length of a request");
	if (len > REQUEST_MAX)
		return vmq_err(err, -EMSGSIZE, "a request has at most %d bytes, not %lld; ask for "
			       "less at once", REQUEST_MAX, (long long)len);
	m->memfd = (size_t)len;
	return check_keys(m->root, memfd_keys, "beside a memfd a message has version and id", err);
}

int message_parse(struct message *m, const char *text, size_t len, struct vmq_err *err)
{
	json_t *id, *version, *method, *params;
	json_error_t why;

	memset(m, 0, sizeof(*m));
	m->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!m->root)
		return vmq_err(err, -EPROTO, "the message is not JSON: %s at byte %d", why.text,
			       why.position);
	if (!json_is_object(m->root))
		return vmq_err(err, -EPROTO, "the message is not a JSON object");

	id = json_object_get(m->root, "id");
	m->has_id = json_is_integer(id);
	m->id = json_integer_value(id);

	version = json_object_get(m->root, "version");
	if (!json_is_integer(version))
		return vmq_err(err, -EPROTO, "the request lacks \"version\":%d", PROTOCOL_VERSION);
	if (json_integer_value(version) != PROTOCOL_VERSION)
		return vmq_err(err, -EPROTO,
			       "version %lld of the protocol is not spoken here; use version %d",
			       (long long)json_integer_value(version), PROTOCOL_VERSION);
	if (!m->has_id)
		return vmq_err(err, -EPROTO, "the request needs an \"id\", a whole number");

	if (json_object_get(m->root, "memfd"))
		return parse_memfd(m, json_object_get(m->root, "memfd"), err);

	method = json_object_get(m->root, "method");
	if (!json_is_string(method))
		return vmq_err(err, -EPROTO, "the request needs a \"method\", a string");
	m->method = json_string_value(method);

	params = json_object_get(m->root, "params");
	if (params && !json_is_object(params))
		return vmq_err(err, -EPROTO, "\"params\" of %.40s is not an object", m->method);
	m->params = params;
	return check_keys(m->root, request_keys, "a request has version, id, method and params",
			  err);
}

void message_clear(struct message *m)
{
	json_decref(m->root);
	memset(m, 0, sizeof(*m));
}

static const struct param *find_param(const struct method *method, const char *name)
{
	for (const struct param *p = method->params; p && p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

/* "there are name, macs, vlan" for the sentence about one that there is not. */
static void list_params(const struct method *method, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (const struct param *p = method->params; p && p->name && n < size; p++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", p->name);
}

static bool has_type(const json_t *v, enum param_type type)
{
	const json_t *element;
	size_t i;

	if (!types[type].array)
		return types[type].is(v);
	if (!json_is_array(v))
		return false;
	json_array_foreach(v, i, element)
		if (!types[type].is(element))
			return false;
	return true;
}

int message_check(const struct method *method, json_t *params, struct vmq_err *err)
{
	const struct param *p;
	char names[256];
	const char *key;
	json_t *value;

	json_object_foreach(params, key, value) {
		p = find_param(method, key);
		if (!p && !method->params)
			return vmq_err(err, -EINVAL, "%s takes no parameters, not '%.40s' either",
				       method->name, key);
		if (!p) {
			list_params(method, names, sizeof(names));
			return vmq_err(err, -EINVAL, "%s has no parameter '%.40s'; there are %s",
				       method->name, key, names);
		}
		if (!has_type(value, p->type))
			return vmq_err(err, -EINVAL, "parameter '%s' of %s must be %s", key,
				       method->name, types[p->type].words);
	}
	for (p = method->params; p && p->name; p++)
		if (p->required && !json_object_get(params, p->name))
			return vmq_err(err, -EINVAL, "%s needs parameter '%s', %s", method->name,
				       p->name, types[p->type].words);
	return 0;
}

/* Takes over @body. */
static char *envelope(bool has_id, json_int_t id, const char *key, json_t *body)
{
	char *text = NULL;
	json_t *root;

	root = json_pack("{s:i, s:o, s:o*}", "version", PROTOCOL_VERSION, "id",
			 has_id ? json_integer(id) : json_null(), key, body);
	if (root && body)
		text = json_dumps(root, DUMP_FLAGS);
	json_decref(root);
	return text;
}

char *message_result(json_int_t id, json_t *result)
{
	return envelope(true, id, "result", result);
}

/*
 * A sentence may quote a word that it cut in the middle of a UTF-8 sequence, or
 * a name from the kernel that is no UTF-8 at all; jansson takes neither.
 */
static json_t *json_text(const char *s)
{
	char plain[sizeof(((struct vmq_err *)0)->text)];
	json_t *v = json_string(s);

	if (v)
		return v;
	snprintf(plain, sizeof(plain), "%s", s);
	for (char *c = plain; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(plain);
}

char *message_error(bool has_id, json_int_t id, int code, const char *sentence)
{
	if (!sentence || !*sentence)
		sentence = strerror(-code);
	return envelope(has_id, id, "error",
			json_pack("{s:s, s:i, s:o}", "code", vmq_err_name(code), "exit",
				  vmq_err_exit(code), "message", json_text(sentence)));
}

char *message_part(json_int_t id, const char *text, size_t n, bool more)
{
	json_t *root = json_pack("{s:i, s:I, s:s%, s:b}", "version", PROTOCOL_VERSION, "id", id,
				 "part", text, n, "more", more);
	char *out = root ? json_dumps(root, DUMP_FLAGS) : NULL;

	json_decref(root);
	return out;
}

char *message_event(json_t *event)
{
	json_t *root = json_pack("{s:i}", "version", PROTOCOL_VERSION);
	char *text = NULL;

	if (root && !json_object_update_missing(root, event))
		text = json_dumps(root, DUMP_FLAGS);
	json_decref(root);
	return text;
}
