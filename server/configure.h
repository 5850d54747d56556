/* SPDX-License-Identifier: BSD-2-Clause */
/* The start: what the command line and the configuration say together. */
#ifndef SERVER_CONFIGURE_H
#define SERVER_CONFIGURE_H

struct config;
struct options;

/*
 * Fills in OPTIONS, and GIVEN with what the command line says alone, and reads CONFIG, which is empty with --config=none; both
 * are to be freed in any case.  0: go on.  Otherwise the program is to end with *STATUS, as of options_parse().
 */
int configure(struct options *options, struct options *given, struct config *config, int argc, char **argv, int *status);

/* Has TLS use the credentials of OPTIONS, if there are any; -1, with the reason logged. */
int configure_tls(const struct options *options);

#endif
