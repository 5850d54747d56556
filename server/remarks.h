/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload has done, by name, for whoever asked for it. */
#ifndef SERVER_REMARKS_H
#define SERVER_REMARKS_H

#include "common/list.h"

enum remark_kind {
	REMARK_ADDED,
	REMARK_CHANGED,
	REMARK_REMOVED,
	REMARK_LEAVING, /* an export that goes when its clients have left */
	REMARK_RESTART, /* a setting that counts from the next start on */
	REMARK_FAILED,  /* and why */
};

struct remark {
	struct list_head link;
	enum remark_kind kind;
	char *text;
};

/* Logs it, too.  REMARKS: a list of struct remark; EXPORT: the one that it is about; NULL. */
void remark_add(struct list_head *remarks, enum remark_kind kind, const char *export, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void remarks_free(struct list_head *remarks);

/* "added", ... */
const char *remark_kind_name(enum remark_kind kind);

#endif
