# SPDX-License-Identifier: BSD-2-Clause
# Fuzz targets: with --enable-fuzzing for libFuzzer, else programs that replay their corpus, among the tests.

fuzz_programs = tests/fuzz/fuzz_handshake tests/fuzz/fuzz_reply tests/fuzz/fuzz_transmission
check_PROGRAMS += $(fuzz_programs)

fuzz_common = tests/fuzz/fuzz.c tests/fuzz/fuzz.h
# The clock is the input's.
fuzz_ldflags = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime
if FUZZING
fuzz_ldflags += -fsanitize=fuzzer
# What is to be covered is the server.
fuzz_cflags = $(AM_CFLAGS) -fno-sanitize=fuzzer-no-link
else
fuzz_cflags = $(AM_CFLAGS)
fuzz_common += tests/fuzz/replay.c
TESTS += $(fuzz_programs)
endif
fuzz_backing = tests/fuzz/backing.c tests/fuzz/backing.h
fuzz_client = tests/fuzz/answer.c tests/fuzz/answer.h tests/fuzz/ask.c tests/fuzz/ask.h tests/fuzz/client.c tests/fuzz/client.h \
	tests/fuzz/dirt.c tests/fuzz/dirt.h \
	tests/fuzz/shadow.c tests/fuzz/shadow.h $(fuzz_backing)
fuzz_corpus = $(abs_srcdir)/tests/fuzz/corpus

tests_fuzz_fuzz_handshake_SOURCES = tests/fuzz/fuzz_handshake.c tests/fuzz/oracle.c tests/fuzz/oracle.h $(fuzz_backing) $(fuzz_common)
tests_fuzz_fuzz_handshake_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_CORPUS='"$(fuzz_corpus)/handshake"'
tests_fuzz_fuzz_handshake_CFLAGS = $(fuzz_cflags)
tests_fuzz_fuzz_handshake_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_handshake_LDADD = $(platterd_libs)
tests_fuzz_fuzz_reply_SOURCES = tests/fuzz/fuzz_reply.c $(fuzz_client) $(fuzz_common)
tests_fuzz_fuzz_reply_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_CORPUS='"$(fuzz_corpus)/reply"'
tests_fuzz_fuzz_reply_CFLAGS = $(fuzz_cflags)
tests_fuzz_fuzz_reply_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_reply_LDADD = $(platterd_libs)
tests_fuzz_fuzz_transmission_SOURCES = tests/fuzz/fuzz_transmission.c $(fuzz_client) $(fuzz_common)
tests_fuzz_fuzz_transmission_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_CORPUS='"$(fuzz_corpus)/transmission"'
tests_fuzz_fuzz_transmission_CFLAGS = $(fuzz_cflags)
tests_fuzz_fuzz_transmission_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_transmission_LDADD = $(platterd_libs)

# In a build of their own, with clang.
FUZZTIME = 30
.PHONY: fuzz fuzz-programs
fuzz:
	$(srcdir)/scripts/fuzz $(FUZZTIME)
fuzz-programs: $(fuzz_programs)

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/nbd.dict tests/fuzz/fuzz_corpus.py tests/fuzz/test_corpus.py
