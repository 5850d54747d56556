/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/remarks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

const char *remark_kind_name(enum remark_kind kind)
{
	static const char *const names[] = {
		[REMARK_ADDED] = "added",     [REMARK_CHANGED] = "changed", [REMARK_REMOVED] = "removed",
		[REMARK_LEAVING] = "leaving", [REMARK_RESTART] = "restart", [REMARK_FAILED] = "failed",
	};

	return names[kind];
}

static void show(const struct remark *remark, const struct log_subject *subject)
{
	if (remark->kind == REMARK_FAILED)
		log_message_about(subject, LOG_LEVEL_ERROR, "%s", remark->text);
	else if (remark->kind == REMARK_RESTART)
		log_message_about(subject, LOG_LEVEL_WARNING, "%s: counts only when the server is started again", remark->text);
	else if (remark->kind == REMARK_LEAVING)
		log_message_about(subject, LOG_LEVEL_NOTICE, "%s: removed as soon as its clients have left", remark->text);
	else
		log_message_about(subject, LOG_LEVEL_NOTICE, "%s: %s", remark->text, remark_kind_name(remark->kind));
}

void remark_add(struct list_head *remarks, enum remark_kind kind, const char *export, const char *format, ...)
{
	struct remark *remark = calloc(1, sizeof(*remark));
	va_list args;

	va_start(args, format);
	if (remark && vasprintf(&remark->text, format, args) < 0)
		remark->text = NULL;
	va_end(args);
	if (!remark || !remark->text) {
		free(remark);
		log_error("no memory to tell what became of the configuration");
		return;
	}
	remark->kind = kind;
	show(remark, &(struct log_subject){ .export = export });
	list_add_tail(&remark->link, remarks);
}

void remarks_free(struct list_head *remarks)
{
	struct list_head *node;

	while ((node = list_pop(remarks))) {
		struct remark *remark = container_of(node, struct remark, link);

		free(remark->text);
		free(remark);
	}
}
