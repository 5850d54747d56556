/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of /etc/nbdtab, nbd-client's: see nbdtab(5), and platter-attach.d(5) for what is ours in it.  Pure. */
#ifndef CLIENT_NBDTAB_H
#define CLIENT_NBDTAB_H

#include <stdbool.h>

#include "client/platter/problem.h"
#include "client/platter/settings.h"

struct nbdtab {
	struct settings settings; /* complete */
	bool manual;              /* "noauto": not to be attached at boot */
	char notice[256];         /* which options do nothing; "": all do something */
};

/* LINE, without its end: 1; 0: it has nothing but a comment; -1: it is wrong. */
int nbdtab_parse(struct nbdtab *entry, const char *line, struct problem *problem);

/* Half-built ones, too. */
void nbdtab_free(struct nbdtab *entry);

#endif
