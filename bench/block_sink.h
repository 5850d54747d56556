/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that ends every request inside submit and touches no data: what is
 * left is what the block layer itself costs.  Unlike the null driver it doesn't
 * lend its memory, so that reads have segments of their own and can be merged.
 */
#ifndef BENCH_BLOCK_SINK_H
#define BENCH_BLOCK_SINK_H

#include <platter/driver.h>

extern const struct platter_driver sink_driver;

#endif
