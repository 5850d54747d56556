# SPDX-License-Identifier: BSD-2-Clause
# `make check`: unit tests on functions, then the daemon itself with exact bytes and with real clients.

TESTS =
if HAVE_CMOCKA
UNIT_TESTS = \
	tests/unit/test_access \
	tests/unit/test_account \
	tests/unit/test_alias \
	tests/unit/test_client_config \
	tests/unit/test_client_handshake \
	tests/unit/test_client_refused \
	tests/unit/test_client_state \
	tests/unit/test_config_text \
	tests/unit/test_deadline \
	tests/unit/test_definition \
	tests/unit/test_device \
	tests/unit/test_dial \
	tests/unit/test_elevator \
	tests/unit/test_engine \
	tests/unit/test_extents \
	tests/unit/test_flush \
	tests/unit/test_identity \
	tests/unit/test_inquiry \
	tests/unit/test_iostat \
	tests/unit/test_ktls \
	tests/unit/test_limits \
	tests/unit/test_log \
	tests/unit/test_mark \
	tests/unit/test_memory \
	tests/unit/test_partition \
	tests/unit/test_module_file \
	tests/unit/test_module_info \
	tests/unit/test_module_link \
	tests/unit/test_module_symbols \
	tests/unit/test_module_trust \
	tests/unit/test_modconf \
	tests/unit/test_moddep \
	tests/unit/test_mount_options \
	tests/unit/test_nbdtab \
	tests/unit/test_options \
	tests/unit/test_overlap \
	tests/unit/test_param \
	tests/unit/test_queue \
	tests/unit/test_queue_exhaustive \
	tests/unit/test_queue_random \
	tests/unit/test_receiver \
	tests/unit/test_relay \
	tests/unit/test_run \
	tests/unit/test_secure \
	tests/unit/test_session \
	tests/unit/test_settings \
	tests/unit/test_size \
	tests/unit/test_software_queue \
	tests/unit/test_spec \
	tests/unit/test_stream \
	tests/unit/test_tls_channel \
	tests/unit/test_tls_forged \
	tests/unit/test_tls_record \
	tests/unit/test_trial \
	tests/unit/test_unit_name \
	tests/unit/test_uri \
	tests/unit/test_verify \
	tests/unit/test_volatile
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

unit_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = $(platterd_libs) $(CMOCKA_LIBS)

tests_unit_test_access_SOURCES = tests/unit/test_access.c tests/unit/unit.h
tests_unit_test_access_CPPFLAGS = $(unit_cppflags)
tests_unit_test_access_LDADD = $(unit_ldadd)
tests_unit_test_account_SOURCES = tests/unit/test_account.c tests/unit/fake.c tests/unit/fake.h tests/unit/unit.h
tests_unit_test_account_CPPFLAGS = $(unit_cppflags)
tests_unit_test_account_LDADD = $(unit_ldadd)
tests_unit_test_config_text_SOURCES = tests/unit/test_config_text.c tests/unit/mutate.h tests/unit/unit.h
tests_unit_test_config_text_CPPFLAGS = $(unit_cppflags)
tests_unit_test_config_text_LDADD = $(unit_ldadd)
tests_unit_test_definition_SOURCES = tests/unit/test_definition.c tests/unit/unit.h
tests_unit_test_definition_CPPFLAGS = $(unit_cppflags)
tests_unit_test_definition_LDADD = $(unit_ldadd)
tests_unit_test_device_SOURCES = tests/unit/test_device.c tests/unit/unit.h
tests_unit_test_device_CPPFLAGS = $(unit_cppflags)
tests_unit_test_device_LDADD = $(unit_ldadd)
tests_unit_test_engine_SOURCES = tests/unit/test_engine.c tests/unit/unit.h
tests_unit_test_engine_CPPFLAGS = $(unit_cppflags)
tests_unit_test_engine_LDADD = $(unit_ldadd)
tests_unit_test_extents_SOURCES = tests/unit/test_extents.c tests/unit/unit.h
tests_unit_test_extents_CPPFLAGS = $(unit_cppflags)
tests_unit_test_extents_LDADD = $(unit_ldadd)
tests_unit_test_flush_SOURCES = tests/unit/test_flush.c $(queue_fixture)
tests_unit_test_flush_CPPFLAGS = $(unit_cppflags)
tests_unit_test_flush_LDADD = $(unit_ldadd)
tests_unit_test_iostat_SOURCES = tests/unit/test_iostat.c client/platterctl/iostat.c client/platterctl/iostat.h tests/unit/unit.h
tests_unit_test_iostat_CPPFLAGS = $(unit_cppflags) $(JANSSON_CFLAGS)
tests_unit_test_iostat_LDADD = $(JANSSON_LIBS) $(CMOCKA_LIBS)
# OpenSSL at both ends.
tls_pair = tests/unit/tls_pair.c tests/unit/tls_pair.h tests/unit/unit.h
tests_unit_test_ktls_SOURCES = tests/unit/test_ktls.c $(tls_pair)
tests_unit_test_ktls_CPPFLAGS = $(unit_cppflags) $(OPENSSL_CFLAGS)
tests_unit_test_ktls_LDADD = $(unit_ldadd)
tests_unit_test_log_SOURCES = tests/unit/test_log.c tests/unit/unit.h
tests_unit_test_log_CPPFLAGS = $(unit_cppflags)
tests_unit_test_log_LDADD = $(unit_ldadd)
tests_unit_test_mark_SOURCES = tests/unit/test_mark.c tests/unit/unit.h
tests_unit_test_mark_CPPFLAGS = $(unit_cppflags)
tests_unit_test_mark_LDADD = $(unit_ldadd)
tests_unit_test_memory_SOURCES = tests/unit/test_memory.c tests/unit/unit.h
tests_unit_test_memory_CPPFLAGS = $(unit_cppflags)
tests_unit_test_memory_LDADD = $(unit_ldadd)
tests_unit_test_partition_SOURCES = tests/unit/test_partition.c tests/unit/table.c tests/unit/table.h \
	tests/unit/mutate.h tests/unit/unit.h
tests_unit_test_partition_CPPFLAGS = $(unit_cppflags)
tests_unit_test_partition_LDADD = $(unit_ldadd)
# These need a directory.
unit_directory = tests/unit/directory.c tests/unit/directory.h tests/unit/unit.h
tests_unit_test_identity_SOURCES = tests/unit/test_identity.c tests/unit/fake.c tests/unit/fake.h $(unit_directory)
tests_unit_test_identity_CPPFLAGS = $(unit_cppflags)
tests_unit_test_identity_LDADD = $(unit_ldadd)
# These compile modules.
module_fixture = tests/unit/module_fixture.c tests/unit/module_fixture.h $(unit_directory)
module_cppflags = $(unit_cppflags) $(LIBELF_CFLAGS) -DFIXTURE_CC='"$(CC)"' -DFIXTURE_ROOT='"$(abs_top_srcdir)"'
tests_unit_test_module_file_SOURCES = tests/unit/test_module_file.c $(module_fixture)
tests_unit_test_module_file_CPPFLAGS = $(module_cppflags)
tests_unit_test_module_file_LDADD = $(unit_ldadd)
tests_unit_test_module_info_SOURCES = tests/unit/test_module_info.c $(module_fixture)
tests_unit_test_module_info_CPPFLAGS = $(module_cppflags)
tests_unit_test_module_info_LDADD = $(unit_ldadd)
tests_unit_test_module_link_SOURCES = tests/unit/test_module_link.c tests/unit/unit.h
tests_unit_test_module_link_CPPFLAGS = $(unit_cppflags) $(LIBELF_CFLAGS)
tests_unit_test_module_link_LDADD = $(unit_ldadd)
tests_unit_test_module_symbols_SOURCES = tests/unit/test_module_symbols.c $(module_fixture)
tests_unit_test_module_symbols_CPPFLAGS = $(module_cppflags)
tests_unit_test_module_symbols_LDADD = $(unit_ldadd)
tests_unit_test_module_trust_SOURCES = tests/unit/test_module_trust.c $(module_fixture)
tests_unit_test_module_trust_CPPFLAGS = $(module_cppflags)
tests_unit_test_module_trust_LDADD = $(unit_ldadd)
tests_unit_test_modconf_SOURCES = tests/unit/test_modconf.c tests/unit/mutate.h $(unit_directory)
tests_unit_test_modconf_CPPFLAGS = $(unit_cppflags)
tests_unit_test_modconf_LDADD = $(unit_ldadd)
tests_unit_test_moddep_SOURCES = tests/unit/test_moddep.c tests/unit/mutate.h $(unit_directory)
tests_unit_test_moddep_CPPFLAGS = $(unit_cppflags)
tests_unit_test_moddep_LDADD = $(unit_ldadd)
tests_unit_test_options_SOURCES = tests/unit/test_options.c tests/unit/unit.h
tests_unit_test_options_CPPFLAGS = $(unit_cppflags)
tests_unit_test_options_LDADD = $(unit_ldadd)
# It says how many cores there are.
tests_unit_test_options_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sched_getaffinity
tests_unit_test_overlap_SOURCES = tests/unit/test_overlap.c tests/unit/mutate.h tests/unit/unit.h
tests_unit_test_overlap_CPPFLAGS = $(unit_cppflags)
tests_unit_test_overlap_LDADD = $(unit_ldadd)
tests_unit_test_param_SOURCES = tests/unit/test_param.c tests/unit/unit.h
tests_unit_test_param_CPPFLAGS = $(unit_cppflags)
tests_unit_test_param_LDADD = $(unit_ldadd)

queue_fixture = tests/unit/queue_fixture.c tests/unit/queue_fixture.h tests/unit/fake.c tests/unit/fake.h tests/unit/unit.h

tests_unit_test_deadline_SOURCES = tests/unit/test_deadline.c $(queue_fixture)
tests_unit_test_deadline_CPPFLAGS = $(unit_cppflags)
tests_unit_test_deadline_LDADD = $(unit_ldadd)

tests_unit_test_elevator_SOURCES = tests/unit/test_elevator.c $(queue_fixture)
tests_unit_test_elevator_CPPFLAGS = $(unit_cppflags)
tests_unit_test_elevator_LDADD = $(unit_ldadd)

# The model of the queue.
queue_model = tests/unit/model.c tests/unit/model.h tests/unit/model_driver.c tests/unit/fake.c tests/unit/fake.h tests/unit/unit.h

tests_unit_test_run_SOURCES = tests/unit/test_run.c $(queue_fixture)
tests_unit_test_run_CPPFLAGS = $(unit_cppflags)
tests_unit_test_run_LDADD = $(unit_ldadd)

tests_unit_test_limits_SOURCES = tests/unit/test_limits.c $(queue_fixture)
tests_unit_test_limits_CPPFLAGS = $(unit_cppflags)
tests_unit_test_limits_LDADD = $(unit_ldadd)

tests_unit_test_queue_SOURCES = tests/unit/test_queue.c tests/unit/fake.c tests/unit/fake.h tests/unit/unit.h
tests_unit_test_queue_CPPFLAGS = $(unit_cppflags)
tests_unit_test_queue_LDADD = $(unit_ldadd)
tests_unit_test_queue_exhaustive_SOURCES = tests/unit/test_queue_exhaustive.c $(queue_model)
tests_unit_test_queue_exhaustive_CPPFLAGS = $(unit_cppflags) \
	-DMODEL_BLOCK=16 -DMODEL_BLOCKS=2 -DMODEL_LONGEST=2 -DMODEL_OPS=8 -DMODEL_VERSIONS=16
tests_unit_test_queue_exhaustive_LDADD = $(unit_ldadd)
tests_unit_test_queue_random_SOURCES = tests/unit/test_queue_random.c tests/unit/mutate.h $(queue_model)
tests_unit_test_queue_random_CPPFLAGS = $(unit_cppflags)
tests_unit_test_queue_random_LDADD = $(unit_ldadd)
# It lets there be no memory at times, and keeps the clock.
tests_unit_test_queue_random_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc -Wl,--wrap=clock_gettime
tests_unit_test_session_SOURCES = tests/unit/test_session.c tests/unit/fake.c tests/unit/fake.h tests/unit/unit.h
tests_unit_test_session_CPPFLAGS = $(unit_cppflags)
tests_unit_test_session_LDADD = $(unit_ldadd)
tests_unit_test_size_SOURCES = tests/unit/test_size.c tests/unit/unit.h
tests_unit_test_size_CPPFLAGS = $(unit_cppflags)
tests_unit_test_size_LDADD = $(unit_ldadd)
tests_unit_test_software_queue_SOURCES = tests/unit/test_software_queue.c $(queue_fixture)
tests_unit_test_software_queue_CPPFLAGS = $(unit_cppflags)
tests_unit_test_software_queue_LDADD = $(unit_ldadd)
tests_unit_test_spec_SOURCES = tests/unit/test_spec.c tests/unit/unit.h
tests_unit_test_spec_CPPFLAGS = $(unit_cppflags)
tests_unit_test_spec_LDADD = $(unit_ldadd)
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c tests/unit/unit.h
tests_unit_test_stream_CPPFLAGS = $(unit_cppflags)
tests_unit_test_stream_LDADD = $(unit_ldadd)
tls_side = tests/unit/tls_side.c tests/unit/tls_side.h $(tls_pair)
tests_unit_test_tls_channel_SOURCES = tests/unit/test_tls_channel.c tests/unit/mutate.h $(tls_side)
tests_unit_test_tls_channel_CPPFLAGS = $(unit_cppflags) $(OPENSSL_CFLAGS)
tests_unit_test_tls_channel_LDADD = $(unit_ldadd)
tests_unit_test_tls_forged_SOURCES = tests/unit/test_tls_forged.c $(tls_side)
tests_unit_test_tls_forged_CPPFLAGS = $(unit_cppflags) $(OPENSSL_CFLAGS)
tests_unit_test_tls_forged_LDADD = $(unit_ldadd)
tests_unit_test_tls_record_SOURCES = tests/unit/test_tls_record.c tests/unit/mutate.h tests/unit/unit.h
tests_unit_test_tls_record_CPPFLAGS = $(unit_cppflags) $(OPENSSL_CFLAGS)
tests_unit_test_tls_record_LDADD = $(unit_ldadd)
tests_unit_test_trial_SOURCES = tests/unit/test_trial.c tests/unit/unit.h
tests_unit_test_trial_CPPFLAGS = $(unit_cppflags)
tests_unit_test_trial_LDADD = $(unit_ldadd)
tests_unit_test_volatile_SOURCES = tests/unit/test_volatile.c tests/unit/unit.h \
	plugins/volatile/cache.c plugins/volatile/plan.c plugins/volatile/sectors.c plugins/volatile/store.c
tests_unit_test_volatile_CPPFLAGS = $(unit_cppflags)
tests_unit_test_volatile_LDADD = $(unit_ldadd)

# The client's.
client_cppflags = $(unit_cppflags) $(JANSSON_CFLAGS)
client_ldadd = $(platter_libs) $(CMOCKA_LIBS)

tests_unit_test_alias_SOURCES = tests/unit/test_alias.c tests/unit/unit.h
tests_unit_test_alias_CPPFLAGS = $(client_cppflags)
tests_unit_test_alias_LDADD = $(client_ldadd)
tests_unit_test_client_handshake_SOURCES = tests/unit/test_client_handshake.c tests/unit/server_words.h tests/unit/mutate.h \
	tests/unit/unit.h
tests_unit_test_client_handshake_CPPFLAGS = $(client_cppflags)
tests_unit_test_client_handshake_LDADD = $(client_ldadd)
tests_unit_test_client_refused_SOURCES = tests/unit/test_client_refused.c tests/unit/server_words.h tests/unit/unit.h
tests_unit_test_client_refused_CPPFLAGS = $(client_cppflags)
tests_unit_test_client_refused_LDADD = $(client_ldadd)
tests_unit_test_client_config_SOURCES = tests/unit/test_client_config.c $(unit_directory)
tests_unit_test_client_config_CPPFLAGS = $(client_cppflags)
tests_unit_test_client_config_LDADD = $(client_ldadd)
tests_unit_test_mount_options_SOURCES = tests/unit/test_mount_options.c tests/unit/unit.h
tests_unit_test_mount_options_CPPFLAGS = $(client_cppflags)
tests_unit_test_mount_options_LDADD = $(client_ldadd)
tests_unit_test_nbdtab_SOURCES = tests/unit/test_nbdtab.c tests/unit/unit.h
tests_unit_test_nbdtab_CPPFLAGS = $(client_cppflags)
tests_unit_test_nbdtab_LDADD = $(client_ldadd)
tests_unit_test_inquiry_SOURCES = tests/unit/test_inquiry.c client/platter/inquiry.c client/platter/inquiry.h \
	tests/unit/mutate.h $(unit_directory)
tests_unit_test_inquiry_CPPFLAGS = $(client_cppflags) -DSTATE_DIRECTORY='"."'
tests_unit_test_inquiry_LDADD = $(client_ldadd)
# It says who asks.
tests_unit_test_inquiry_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getsockopt
tests_unit_test_receiver_SOURCES = tests/unit/test_receiver.c tests/unit/unit.h
tests_unit_test_receiver_CPPFLAGS = $(client_cppflags)
tests_unit_test_receiver_LDADD = $(client_ldadd)
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c tests/unit/unit.h
tests_unit_test_settings_CPPFLAGS = $(client_cppflags)
tests_unit_test_settings_LDADD = $(client_ldadd)
tests_unit_test_verify_SOURCES = tests/unit/test_verify.c tests/unit/unit.h
tests_unit_test_verify_CPPFLAGS = $(client_cppflags)
tests_unit_test_verify_LDADD = $(client_ldadd)
tests_unit_test_client_state_SOURCES = tests/unit/test_client_state.c tests/unit/mutate.h $(unit_directory)
tests_unit_test_client_state_CPPFLAGS = $(client_cppflags)
tests_unit_test_client_state_LDADD = $(client_ldadd)
# It has a directory of its own, and says which devices there are.
tests_unit_test_client_state_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fopen64 -Wl,--wrap=rename -Wl,--wrap=unlink \
	-Wl,--wrap=device_backend -Wl,--wrap=device_each
tests_unit_test_dial_SOURCES = tests/unit/test_dial.c $(unit_directory)
tests_unit_test_dial_CPPFLAGS = $(client_cppflags)
tests_unit_test_dial_LDADD = $(client_ldadd)
tests_unit_test_relay_SOURCES = tests/unit/test_relay.c tests/unit/unit.h
tests_unit_test_relay_CPPFLAGS = $(client_cppflags)
tests_unit_test_relay_LDADD = $(client_ldadd)
# It counts what is sent.
tests_unit_test_relay_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=send
tests_unit_test_secure_SOURCES = tests/unit/test_secure.c tests/unit/tls_pair.c tests/unit/tls_pair.h tests/unit/unit.h
tests_unit_test_secure_CPPFLAGS = $(client_cppflags)
tests_unit_test_secure_LDADD = $(client_ldadd)
# It says what the kernel can do.
tests_unit_test_secure_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=setsockopt
tests_unit_test_unit_name_SOURCES = tests/unit/test_unit_name.c tests/unit/unit.h
tests_unit_test_unit_name_CPPFLAGS = $(client_cppflags)
tests_unit_test_unit_name_LDADD = $(client_ldadd)
tests_unit_test_uri_SOURCES = tests/unit/test_uri.c tests/unit/mutate.h tests/unit/unit.h
tests_unit_test_uri_CPPFLAGS = $(client_cppflags)
tests_unit_test_uri_LDADD = $(client_ldadd)
else
LEFT_OUT = no-unit-tests
endif

# For tests/partitions.
check_PROGRAMS += tests/partitions/partition_list
tests_partitions_partition_list_SOURCES = tests/partitions/partition_list.c
tests_partitions_partition_list_LDADD = libplatterd.a $(UNISTRING_LIBS) $(BLKID_LIBS)

# For tests/wire and tests/vm.
check_PROGRAMS += tests/wire/tls_client
tests_wire_tls_client_SOURCES = tests/wire/tls_client.c common/wire.h
tests_wire_tls_client_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
tests_wire_tls_client_LDADD = $(OPENSSL_LIBS)

# Tests of the whole daemon; PYTESTFLAGS selects, for example PYTESTFLAGS='-k handshake'.
.PHONY: check-daemon no-unit-tests
check-daemon: platterd platterctl platter platter-generator $(module_PROGRAMS) $(bench_programs) tests/partitions/partition_list tests/wire/tls_client
	@test "$(PYTHON)" != no || { echo "python3 with pytest, pytest-xdist and nbd is missing: see CONTRIBUTING.md"; exit 1; }
	PLATTERD=$(abs_builddir)/platterd PARTITION_LIST=$(abs_builddir)/tests/partitions/partition_list \
		TLS_CLIENT=$(abs_builddir)/tests/wire/tls_client \
		$(PYTHON) -B -m pytest -q -c $(srcdir)/tests/pytest.ini -n 2 \
		$(srcdir)/tests $(PYTESTFLAGS)
	$(AM_V_at)test -n "$(PYTESTFLAGS)" || $(MAKE) --no-print-directory check-tls

# The protocol once more, inside TLS.
.PHONY: check-tls
check-tls: platterd platterctl
	PLATTERD=$(abs_builddir)/platterd PLATTERD_TLS=1 $(PYTHON) -B -m pytest -q -c $(srcdir)/tests/pytest.ini -n 2 \
		$(tls_tests:%=$(srcdir)/tests/wire/test_%.py)
tls_tests = commands contexts exports segments shadow structured

# Who keeps which rules of the specification, as INTEROP.md has it.
.PHONY: interop-table
interop-table: platterd
	$(AM_V_at)$(PYTHON) -B $(srcdir)/tests/rules/interop.py --platterd ./platterd $(INTEROPFLAGS)

# After everything else; a success would look as if they had passed.
no-unit-tests: check-daemon
	@echo "The unit tests were left out, for cmocka is missing: install libcmocka-dev and configure again, or make check-daemon"; exit 1

check-local: check-daemon $(LEFT_OUT)

EXTRA_DIST += \
	tests/baseline.py \
	tests/certificate_support.py \
	tests/bench \
	tests/clients \
	tests/config_support.py \
	tests/conftest.py \
	tests/control \
	tests/control_client.py \
	tests/daemon.py \
	tests/tls_support.py \
	tests/drivers \
	tests/durability \
	tests/meta \
	tests/model \
	tests/modules \
	tests/modules_support.py \
	tests/nbd_support.py \
	tests/partitions/test_partition_tables.py \
	tests/pytest.ini \
	tests/rules \
	tests/seeds.py \
	tests/tsan.supp \
	tests/volatile_support.py \
	tests/wire \
	tests/wire_client.py
