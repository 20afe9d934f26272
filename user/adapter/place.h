/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * place.h - on which CPU the kernel's half of a queue runs
 *
 * The kernel's receive work (NAPI) of RX queue r should not sit on the CPU of
 * the worker that reads it unless there is only one. Where the device has
 * interrupts, their affinity is set; where it has none (veth), threaded NAPI
 * is switched on and its kthreads ("napi/IFACE-N") are pinned. What was there
 * before is remembered and put back by place_undo(). A device that offers
 * neither is left alone: that is no error. Control thread only.
 */
#ifndef VMQ_PLACE_H
#define VMQ_PLACE_H

#include <stdint.h>

#include "common/err.h"

struct place;

/**
 * place_apply() - place the NAPI side of every RX queue
 * @out: what place_undo() needs
 * @ifname: device, XDP already attached (veth allows threaded NAPI only then)
 * @cpus: CPUs to use, round robin by RX queue; must outlive @out
 * @n_cpus: how many; 0 leaves everything as it is
 * @note: file for what there was before, so that it can be put back by whoever comes
 *	after a crash: one that is found there is gone by; NULL: no such file
 * @err: sentence
 *
 * Return: 0, also if nothing could be placed; place_describe() says what was.
 */
int place_apply(struct place **out, const char *ifname, const uint16_t *cpus,
		int n_cpus, const char *note, struct vmq_err *err);
/*
 * The device has other queues now: place what is new, and once more what was
 * placed (igb, for one, makes new interrupts, often under the same numbers).
 */
void place_refresh(struct place *p);
const char *place_describe(const struct place *p);	/* "irq", "threaded", "none" */
void place_undo(struct place *p);	/* frees, and removes the note */
/* Put back what a dead service's note says; nothing if there is none. */
void place_undo_noted(const char *note);

#endif /* VMQ_PLACE_H */
