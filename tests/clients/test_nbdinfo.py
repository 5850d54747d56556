# SPDX-License-Identifier: BSD-2-Clause
"""What nbdinfo sees of the server and its exports."""

import json

import pytest
from client_support import ALL_TRANSPORTS, KIB, MIB, SECURE_TRANSPORTS, handle_for, reached, run, uri
from daemon import Daemon

CAN_WRITE = ["can_fast_zero", "can_trim", "can_zero"]


@pytest.fixture(params=ALL_TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture
def daemon(directory, transport):
    path = directory + "/disk.img"
    with open(path, "wb") as file:
        file.truncate(3 * MIB + 1)
    exports = ["first=ram:1M,description=The first one", "readable=ram:64K,readonly", "file=" + path, "ünïcode=null:1T",
               "with space/and slash=null:512"]
    with Daemon(directory, *exports, **reached(transport)) as running:
        yield running


def info(daemon, transport, export=""):
    """The one export that nbdinfo describes."""
    described = json.loads(run("nbdinfo", "--json", uri(daemon, transport, export)))
    assert described["protocol"] == "newstyle-fixed"
    assert described["TLS"] is (transport in SECURE_TRANSPORTS)
    assert described["structured"] is True
    return described["exports"][0]


def test_default_export_is_the_first_one(daemon, transport):
    assert info(daemon, transport)["export-size"] == MIB
    assert run("nbdinfo", "--size", uri(daemon, transport)) == f"{MIB}\n"


def test_writable_export(daemon, transport):
    found = info(daemon, transport, "first")
    assert found["export-size"] == MIB
    assert found["description"] == "The first one"
    assert found["is_read_only"] is False
    for ability in CAN_WRITE + ["can_cache", "can_flush", "can_fua", "can_multi_conn"]:
        assert found[ability] is True, ability
    assert found["can_df"] is True
    assert [found["block_size_" + which] for which in ("minimum", "preferred", "maximum")] == [1, 4096, 32 * MIB]
    assert found["contexts"] == ["base:allocation"]


def test_read_only_export(daemon, transport):
    found = info(daemon, transport, "readable")
    assert found["export-size"] == 64 * KIB
    assert found["is_read_only"] is True
    for ability in CAN_WRITE:
        assert found[ability] is False, ability


def test_questions_with_a_yes_or_no(daemon, transport):
    run("nbdinfo", "--can", "multi-conn", uri(daemon, transport, "first"))
    run("nbdinfo", "--is", "read-only", uri(daemon, transport, "readable"))
    run("nbdinfo", "--is", "read-only", uri(daemon, transport, "first"), status=2)
    run("nbdinfo", "--can", "df", uri(daemon, transport, "first"))
    run("nbdinfo", "--is", "tls", uri(daemon, transport, "first"), status=0 if transport in SECURE_TRANSPORTS else 2)


def test_file_export_has_the_files_size(daemon, transport):
    assert info(daemon, transport, "file")["export-size"] == 3 * MIB + 1


def test_names_that_need_escaping(daemon, transport):
    assert info(daemon, transport, "%C3%BCn%C3%AFcode")["export-size"] == 1 << 40
    assert info(daemon, transport, "with%20space/and%20slash")["export-size"] == 512


def test_list_has_all_exports_in_their_order(daemon, transport):
    listed = json.loads(run("nbdinfo", "--list", "--json", uri(daemon, transport)))["exports"]
    assert [export["export-name"] for export in listed] == [
        "first", "readable", "file", "ünïcode", "with space/and slash"]
    assert [export["export-size"] for export in listed] == [MIB, 64 * KIB, 3 * MIB + 1, 1 << 40, 512]
    assert listed[0]["description"] == "The first one"
    assert listed[1]["is_read_only"] is True


def test_list_for_people(daemon, transport):
    listed = run("nbdinfo", "--list", uri(daemon, transport))
    assert listed.count("export=") == 5
    assert 'export="first"' in listed


def mapped(daemon, transport, export):
    """[(offset, length, description), ...]"""
    return [(part["offset"], part["length"], part["description"])
            for part in json.loads(run("nbdinfo", "--map", "--json", uri(daemon, transport, export)))]


def test_map(daemon, transport):
    hole = "hole,zero"
    assert mapped(daemon, transport, "first") == [(0, MIB, hole)]
    assert mapped(daemon, transport, "file") == [(0, 3 * MIB + 1, hole)]
    # A terabyte is asked for in parts.
    assert mapped(daemon, transport, "%C3%BCn%C3%AFcode") == [(0, 1 << 40, hole)]
    for export, offset, length in (("first", 512 * KIB, 4 * KIB), ("file", MIB, 64 * KIB)):
        handle = handle_for(uri(daemon, transport, export))
        handle.pwrite(b"d" * length, offset)
        handle.shutdown()
    assert mapped(daemon, transport, "first") == [(0, 512 * KIB, hole), (512 * KIB, 256 * KIB, "data"), (768 * KIB, 256 * KIB, hole)]
    assert mapped(daemon, transport, "file") == [(0, MIB, hole), (MIB, 64 * KIB, "data"), (MIB + 64 * KIB, 2 * MIB + 1 - 64 * KIB, hole)]


def test_map_knows_no_other_context(daemon, transport):
    run("nbdinfo", "--map=qemu:dirty-bitmap:x", uri(daemon, transport, "first"), status=1)
    assert run("nbdinfo", "--size", uri(daemon, transport, "first")) == f"{MIB}\n"


def test_unknown_export_is_an_error(daemon, transport):
    run("nbdinfo", uri(daemon, transport, "nothere"), status=1)
    assert run("nbdinfo", "--size", uri(daemon, transport, "first")) == f"{MIB}\n"
