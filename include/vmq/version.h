/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VMQ_VERSION_H
#define VMQ_VERSION_H

#define VMQ_VERSION "0.1.0"

#endif /* VMQ_VERSION_H */
