/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doorbell.h - signal an eventfd that somebody else holds, too, and never wait
 */
#ifndef VMQ_DOORBELL_H
#define VMQ_DOORBELL_H

/**
 * doorbell_ring() - add 1 to an eventfd
 * @fd: an eventfd, or -1: nothing is done
 *
 * Never waits, whatever the other holders of the description do with it: one that
 * is full stays full. Any thread.
 */
void doorbell_ring(int fd);

#endif /* VMQ_DOORBELL_H */
