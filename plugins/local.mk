# SPDX-License-Identifier: BSD-2-Clause
# Modules: shared objects that platterd loads.  One whose source is plugins/NAME/NAME.c is a line here:
#
#	module_PROGRAMS += plugins/NAME/NAME.so
#
# One of more files has a second line, plugins_NAME_NAME_so_SOURCES = ...  A source may be linked into platterd,
# too: automake compiles it for each.

module_PROGRAMS =
module_PROGRAMS += plugins/delay/delay.so
module_PROGRAMS += plugins/error/error.so
module_PROGRAMS += plugins/hello/hello.so
module_PROGRAMS += plugins/linear/linear.so
module_PROGRAMS += plugins/pattern/pattern.so
module_PROGRAMS += plugins/stack/stack.so
module_PROGRAMS += plugins/volatile/volatile.so
if HAVE_LIBNBD
module_PROGRAMS += plugins/nbd/nbd.so
endif
if NULL_MODULE
module_PROGRAMS += plugins/null/null.so
endif
if RAM_MODULE
module_PROGRAMS += plugins/ram/ram.so
endif
plugins_nbd_nbd_so_SOURCES = \
	plugins/nbd/command.c plugins/nbd/command.h \
	plugins/nbd/connection.c plugins/nbd/connection.h \
	plugins/nbd/nbd.c plugins/nbd/nbd.h \
	plugins/nbd/upstream.c plugins/nbd/upstream.h \
	plugins/nbd/work.c plugins/nbd/work.h
plugins_nbd_nbd_so_LDADD = $(LIBNBD_LIBS)
plugins_ram_ram_so_SOURCES = plugins/ram/ram.c plugins/ram/stream.c plugins/ram/stream.h
plugins_volatile_volatile_so_SOURCES = \
	plugins/volatile/cache.c plugins/volatile/cache.h \
	plugins/volatile/mix.h \
	plugins/volatile/plan.c plugins/volatile/plan.h \
	plugins/volatile/sectors.c plugins/volatile/sectors.h \
	plugins/volatile/store.c plugins/volatile/store.h \
	plugins/volatile/volatile.c

# No library is made here, so that automake takes these for programs: what makes modules of them are the flags, which
# make hands down from a module to its objects.
modules = $(module_PROGRAMS) bench/ram.so
libnbd_modules = plugins/nbd/nbd.so
$(modules): AM_CPPFLAGS += -DPLATTER_AS_MODULE
$(modules): AM_CFLAGS = $(MODULE_CFLAGS)
$(libnbd_modules): AM_CFLAGS += $(LIBNBD_CFLAGS)
$(modules): AM_LDFLAGS = $(MODULE_LDFLAGS)

# modprobe needs to know what is there.
install-data-hook:
	./platterctl depmod $(DESTDIR)$(moduledir)

uninstall-hook:
	rm -f $(DESTDIR)$(moduledir)/modules.dep $(DESTDIR)$(moduledir)/modules.alias $(DESTDIR)$(moduledir)/modules.softdep
