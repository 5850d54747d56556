# SPDX-License-Identifier: BSD-2-Clause
"""The rules of LIST, INFO and GO: which exports there are and what a client is told about them."""

import struct

import pytest

from daemon import Daemon
from shared import info, own_daemon
from wire_client import (ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, INFO_BLOCK_SIZE, INFO_DESCRIPTION, INFO_EXPORT, INFO_NAME,
                         OPT_GO, OPT_INFO, OPT_LIST, READ_ONLY, REP_ACK, REP_INFO, REP_SERVER, Wire, go_data)

ALL = (INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE)


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("boot=ram:1M,description=the first one", "data/größe=ram:2M,readonly", "ram:3M", "null:1T") as running:
        yield running


@pytest.fixture
def wire(daemon):
    with Wire(daemon) as connection:
        connection.flags()
        yield connection


def listed(wire):
    exports = []
    *servers, last = wire.option(OPT_LIST)
    assert last == (REP_ACK, b"")
    for kind, data in servers:
        assert kind == REP_SERVER
        length = struct.unpack(">I", data[:4])[0]
        exports.append((data[4:4 + length].decode(), data[4 + length:].decode()))
    return exports


def test_list_names_every_export_with_its_description(wire):
    exports = listed(wire)
    assert [name for name, _ in exports] == ["boot", "data/größe", "ram0", "null0"]
    assert exports[0][1] == "the first one"
    assert all(description for _, description in exports)


def test_list_works_again_and_again(wire):
    assert listed(wire) == listed(wire) == listed(wire)


@pytest.mark.parametrize("length", [1, 100, 70000])
def test_list_with_payload_is_invalid_and_in_step(wire, length):
    replies = wire.option(OPT_LIST, b"x" * length)
    assert [kind for kind, _ in replies] == [ERR_INVALID]
    assert len(listed(wire)) == 4


@pytest.mark.parametrize("option", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("name, size", [(b"boot", 1 << 20), ("data/größe".encode(), 2 << 20), (b"ram0", 3 << 20),
                                        (b"null0", 1 << 40)], ids=["boot", "utf8", "ram0", "null0"])
def test_info_export_is_always_sent(wire, option, name, size):
    replies = wire.option(option, go_data(name))
    assert replies[-1] == (REP_ACK, b"")
    assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] == size


def test_only_what_was_asked_for_is_told(wire):
    replies = wire.option(OPT_INFO, go_data(b"boot"))
    assert [kind for kind, _ in replies] == [REP_INFO, REP_ACK]


def test_info_name_is_the_canonical_name(wire):
    assert info(wire.option(OPT_INFO, go_data(b"ram0", [INFO_NAME])), INFO_NAME) == b"ram0"


def test_info_description(wire):
    assert info(wire.option(OPT_INFO, go_data(b"boot", [INFO_DESCRIPTION])), INFO_DESCRIPTION).startswith(b"the first one uuid=")


@pytest.mark.parametrize("option", [OPT_INFO, OPT_GO])
def test_empty_name_means_the_first_and_info_name_tells_which(wire, option):
    replies = wire.option(option, go_data(b"", [INFO_NAME]))
    assert info(replies, INFO_NAME) == b"boot"
    assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] == 1 << 20


def test_the_name_behind_the_empty_one_is_told_unasked(wire):
    assert info(wire.option(OPT_INFO, go_data()), INFO_NAME) == b"boot"


@pytest.mark.parametrize("name", [b"boot", b"ram0", b"null0"])
def test_block_sizes_are_within_the_rules(wire, name):
    replies = wire.option(OPT_INFO, go_data(name, [INFO_BLOCK_SIZE]))
    least, preferred, most = struct.unpack(">III", info(replies, INFO_BLOCK_SIZE))
    for size in least, preferred:
        assert size & (size - 1) == 0
    assert 1 <= least <= 65536
    assert preferred >= max(least, 512)
    assert most == 32 << 20
    assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] % least == 0


@pytest.mark.parametrize("infos", [[], [INFO_NAME], ALL, ALL[::-1], ALL * 100])
def test_info_then_go_give_the_same_answers(wire, infos):
    asked = wire.option(OPT_INFO, go_data(b"ram0", infos))
    assert wire.option(OPT_GO, go_data(b"ram0", infos)) == asked
    assert asked[-1][0] == REP_ACK
    assert wire.read(0, 512) == bytes(512)


@pytest.mark.parametrize("infos", [[4], [0xFFFF], list(range(4, 1000)), [9, INFO_NAME, 77]], ids=str)
def test_unknown_information_is_ignored(wire, infos):
    replies = wire.option(OPT_INFO, go_data(b"boot", infos))
    kinds = {struct.unpack(">H", data[:2])[0] for kind, data in replies if kind == REP_INFO}
    assert kinds == {INFO_EXPORT} | ({INFO_NAME} & set(infos))
    assert replies[-1][0] == REP_ACK


def test_information_asked_for_twice_is_told_once(wire):
    replies = wire.option(OPT_GO, go_data(b"boot", [INFO_NAME] * 1000))
    assert len(replies) == 3


@pytest.mark.parametrize("option", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("name", [b"missing", b"boo", b"boot2", b"../../etc/shadow", b"/", b"x" * 4096], ids=repr)
def test_unknown_export_gets_one_error_and_no_info(wire, option, name):
    [(kind, text)] = wire.option(option, go_data(name, ALL))
    assert kind == ERR_UNKNOWN
    assert len(text) <= 4096 and text.decode().isprintable()
    assert wire.option(OPT_GO, go_data(b"boot"))[-1][0] == REP_ACK


def test_error_text_has_no_control_characters_of_the_name(wire):
    [(kind, text)] = wire.option(OPT_GO, go_data(b"a\x1b[31m\r\nfake: line\x7f\xc2\x85"))
    assert kind == ERR_UNKNOWN
    assert text.decode("ascii").isprintable()


def test_failed_go_leaves_nothing_behind(wire):
    for _ in range(20):
        assert wire.option(OPT_GO, go_data(b"missing"))[-1][0] == ERR_UNKNOWN
        assert wire.option(OPT_INFO, go_data(b"null0"))[-1][0] == REP_ACK
    replies = wire.option(OPT_GO, go_data(b"boot"))
    assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] == 1 << 20
    assert wire.write((1 << 20) - 4, b"last") == 0
    assert wire.write((1 << 20) - 3, b"last") != 0


def test_go_names_another_export_than_info(wire):
    assert struct.unpack(">QH", info(wire.option(OPT_INFO, go_data(b"boot")), INFO_EXPORT))[0] == 1 << 20
    replies = wire.option(OPT_GO, go_data("data/größe".encode()))
    size, flags = struct.unpack(">QH", info(replies, INFO_EXPORT))
    assert size == 2 << 20 and flags & READ_ONLY
    assert wire.read((2 << 20) - 512, 512) == bytes(512)


@pytest.mark.parametrize("before", [[b"a"], [b"a", b"b", b"a"], [b"missing", b"a"], [b"b"]])
def test_go_opens_its_disk_whatever_info_was_asked_before(directory, before):
    with Daemon(directory, "a=ram:1M", "b=ram:2M") as fresh, Wire(fresh) as wire:
        wire.flags()
        for name in before:
            wire.option(OPT_INFO, go_data(name))
        replies = wire.option(OPT_GO, go_data(b"b"))
        assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] == 2 << 20
        assert wire.write((2 << 20) - 4, b"last") == 0


@pytest.mark.parametrize("option", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("data", [
    b"", b"\0", b"\0" * 5, b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\0\0", b"\xff\xff\xff\xff\0\0\0\0\0\0",
    b"\0\0\0\1\0\0", b"\0\0\0\5boot\0\0", b"\0\0\0\4boot\0\1", b"\0\0\0\4boot\0\0\0", b"\0\0\0\4boot\0\1\0\1\0\1",
    b"\0\0\0\4boot\x80\0", b"\0\0\0\4boot\xff\xff\0\1", b"\x80\0\0\0boot\0\0",
], ids=repr)
def test_name_and_count_must_fit_the_option(wire, option, data):
    [(kind, _)] = wire.option(option, data)
    assert kind == ERR_INVALID
    assert wire.option(OPT_GO, go_data(b"boot"))[-1][0] == REP_ACK


@pytest.mark.parametrize("option", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("count, answers", [(2000, [REP_ACK]), (65535, [REP_ACK, ERR_TOO_BIG])])
def test_as_many_information_requests_as_fit(wire, option, count, answers):
    assert wire.option(option, go_data(b"boot", [INFO_NAME] * count))[-1][0] in answers
    if option == OPT_INFO:
        assert len(listed(wire)) == 4


def test_every_export_is_a_disk_of_its_own(daemon):
    with Wire(daemon) as boot, Wire(daemon) as ram:
        boot.go(b"boot")
        ram.go(b"ram0")
        assert boot.write(4096, b"boot" * 128) == 0
        assert ram.write(4096, b"ram0" * 128) == 0
        assert boot.read(4096, 512) == b"boot" * 128
        assert ram.read(4096, 512) == b"ram0" * 128
