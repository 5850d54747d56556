/* SPDX-License-Identifier: BSD-2-Clause */
/* Exports that outlast the server: files of theirs in the directory of its configuration, see platterd.conf(5). */
#ifndef CLIENT_SAVE_H
#define CLIENT_SAVE_H

/* Asks the server where that is: an exit status of call.h's, with what is wrong printed. */
int save_begin(void);

/* Afterwards: writes that NAME is exported as SPEC says; takes that back.  Likewise. */
int save_export(const char *name, const char *spec);
int save_forget(const char *name);

#endif
