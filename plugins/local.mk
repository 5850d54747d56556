# SPDX-License-Identifier: BSD-2-Clause
# Modules: shared objects that platterd loads.  One whose source is plugins/NAME/NAME.c is a line here:
#
#	module_PROGRAMS += plugins/NAME/NAME.so
#
# One of more files has a second line, plugins_NAME_NAME_so_SOURCES = ...  A source may be linked into platterd,
# too: automake compiles it for each.

module_PROGRAMS =
module_PROGRAMS += plugins/hello/hello.so

# No library is made here, so that automake takes these for programs: what makes modules of them are the flags, which
# make hands down from a module to its objects.
$(module_PROGRAMS): AM_CFLAGS = $(MODULE_CFLAGS)
$(module_PROGRAMS): AM_LDFLAGS = $(MODULE_LDFLAGS)
