/* SPDX-License-Identifier: BSD-2-Clause */
/* The device table: which major number belongs to which driver, as in /proc/devices. */
#ifndef BLOCK_DEVICE_H
#define BLOCK_DEVICE_H

/* Majors run from 1 to DEVICE_MAJORS - 1; the dynamic ones are given from DEVICE_DYNAMIC downwards. */
#define DEVICE_MAJORS 512
#define DEVICE_DYNAMIC 254
/* Minors of one major. */
#define DEVICE_MINORS (1u << 20)

/* The name that MAJOR is registered under, NULL when it is free.  Under the registry's lock. */
const char *device_name(unsigned major);

/* The major of NAME, 0 when it has none.  Under the registry's lock. */
unsigned device_major(const char *name);

/* Frees a major that OWNER (see driver.h) registered and forgot: its name, which the caller frees; NULL when there is none. */
char *device_forget(const void *owner);

/* Frees the whole table. */
void device_unregister_all(void);

#endif
