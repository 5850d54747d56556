# SPDX-License-Identifier: BSD-2-Clause
# The benchmark: `make bench`, with options for bench/run in BENCHFLAGS.

noinst_PROGRAMS += bench/platter-load bench/platter-floor

bench_platter_load_SOURCES = \
	bench/load.c \
	bench/load.h \
	bench/load_connect.c \
	bench/load_connection.h \
	bench/load_cpu.c \
	bench/load_data.h \
	bench/load_histogram.c \
	bench/load_histogram.h \
	bench/load_options.c \
	bench/load_replies.c \
	bench/load_report.c \
	bench/load_requests.c \
	bench/load_run.c \
	common/size.c \
	common/size.h \
	common/wire.h

bench_platter_floor_SOURCES = \
	bench/floor.c \
	common/checked.h \
	common/size.c \
	common/size.h \
	common/wire.h

.PHONY: bench
bench: platterd bench/platter-load bench/platter-floor
	$(PYTHON) $(srcdir)/bench/run --platterd=./platterd --load=bench/platter-load --floor=bench/platter-floor \
		$(BENCHFLAGS)

EXTRA_DIST += \
	bench/report.py \
	bench/requirements.py \
	bench/run \
	bench/servers.py
