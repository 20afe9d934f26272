/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cppcheck.h - read by cppcheck in front of every file (make lint)
 *
 * cppcheck reads no system headers. These are the macros of theirs that make
 * declarations, without which it cannot parse what uses them.
 */
#define LIBBPF_OPTS(type, name, ...)	struct type name = { __VA_ARGS__ }
#define DECLARE_LIBBPF_OPTS		LIBBPF_OPTS
#define DECLARE_LIBXDP_OPTS		LIBBPF_OPTS
#define LIST_HEAD(name, type)		struct name { struct type *lh_first; }
#define STAILQ_HEAD(name, type)		struct name { struct type *stqh_first; }
#define TAILQ_HEAD(name, type)		struct name { struct type *tqh_first; }
#define LIST_ENTRY(type)		struct { struct type *le_next; }
#define STAILQ_ENTRY(type)		struct { struct type *stqe_next; }
#define TAILQ_ENTRY(type)		struct { struct type *tqe_next; }
#define LIST_FOREACH(v, head, f)	for ((v) = (head)->lh_first; (v); (v) = (v)->f.le_next)
#define STAILQ_FOREACH(v, head, f)	for ((v) = (head)->stqh_first; (v); (v) = (v)->f.stqe_next)
#define TAILQ_FOREACH(v, head, f)	for ((v) = (head)->tqh_first; (v); (v) = (v)->f.tqe_next)
