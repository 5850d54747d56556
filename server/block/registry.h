/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock of the tables that administrators change and everybody reads:
 * devices, disks and exports.  It is held for moments, never across a driver's
 * call or anything that waits; a disk's open lock may be taken inside it.
 */
#ifndef BLOCK_REGISTRY_H
#define BLOCK_REGISTRY_H

void registry_lock(void);
void registry_unlock(void);

#endif
