# SPDX-License-Identifier: BSD-2-Clause
# The benchmark: `make bench`, with options for bench/run in BENCHFLAGS.

bench_programs = bench/platter-block bench/platter-load bench/platter-floor bench/platter-session bench/platter-writes bench/ram.so
noinst_PROGRAMS += $(bench_programs)

# The RAM disk's driver both ways, however platterd has it: linked in here, and bench/ram.so, a module.
bench_platter_block_CPPFLAGS = $(AM_CPPFLAGS) $(LIBELF_CFLAGS)
bench_platter_block_SOURCES = \
	bench/block.c \
	bench/block_options.c \
	bench/block_options.h \
	bench/block_round.c \
	bench/block_round.h \
	bench/block_sink.c \
	bench/block_sink.h
if RAM_MODULE
bench_platter_block_SOURCES += plugins/ram/ram.c
endif
bench_platter_block_LDADD = $(platterd_libs)
bench_platter_block_LDFLAGS = $(platterd_LDFLAGS)
EXTRA_bench_platter_block_DEPENDENCIES = interface.list

bench_ram_so_SOURCES = $(plugins_ram_ram_so_SOURCES)

bench_platter_load_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
bench_platter_load_LDADD = $(OPENSSL_LIBS)
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
	bench/load_stream.c \
	bench/load_stream.h \
	bench/load_tls.c \
	common/size.c \
	common/size.h \
	common/wire.h

bench_platter_floor_SOURCES = \
	bench/floor.c \
	common/checked.h \
	common/size.c \
	common/size.h \
	common/wire.h

bench_platter_session_SOURCES = bench/session.c
if RAM_MODULE
bench_platter_session_SOURCES += plugins/ram/ram.c
endif
bench_platter_session_LDADD = $(platterd_libs)

bench_platter_writes_SOURCES = bench/writes.c
bench_platter_writes_LDADD = $(platterd_libs)

.PHONY: bench
bench: platterd platterctl $(bench_programs) $(module_PROGRAMS)
	$(PYTHON) $(srcdir)/bench/run --platterd=./platterd --platterctl=./platterctl --load=bench/platter-load \
		--floor=bench/platter-floor --block=bench/platter-block --session=bench/platter-session --module=bench/ram.so --plugins=plugins \
		--json=bench/results.json --plot=bench/results.svg $(BENCHFLAGS)

CLEANFILES += bench/results.json bench/results.svg

EXTRA_DIST += \
	bench/README.md \
	bench/block_cost.py \
	bench/cases.py \
	bench/cipher.py \
	bench/comparison.py \
	bench/generator.py \
	bench/holes.py \
	bench/kinds.py \
	bench/plot.py \
	bench/report.py \
	bench/requirements.py \
	bench/run \
	bench/servers.py
