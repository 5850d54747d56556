# SPDX-License-Identifier: BSD-2-Clause
"""What an export is known by to clients that come back: the UUID at the end of its description."""

import os
import re
import shutil
import subprocess
import uuid

import pytest

from daemon import Daemon
from shared import info, sparse_file
from wire_client import INFO_DESCRIPTION, OPT_GO, OPT_INFO, REP_ACK, Wire, go_data

MIB = 1 << 20
GIVEN = "01234567-89ab-cdef-0123-456789abcdef"


def description(daemon, export, option=OPT_INFO):
    with Wire(daemon) as wire:
        wire.flags()
        replies = wire.option(option, go_data(export.encode(), [INFO_DESCRIPTION]))
        assert replies[-1] == (REP_ACK, b"")
        return info(replies, INFO_DESCRIPTION)


def identity(daemon, export):
    """As a client finds it: the description's last word."""
    told = description(daemon, export).decode()
    found = re.fullmatch(r"uuid=([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", told.rsplit(" ", 1)[-1])[1]
    assert description(daemon, export, OPT_GO).decode() == told
    assert [entry["uuid"] for entry in daemon.ctl_json("exports")["exports"] if entry["name"] == export] == [found]
    return found


def identities(directory, *exports, **keywords):
    """Of them all, from a server that then ends."""
    with Daemon(directory, *exports, **keywords) as daemon:
        # Clients are greeted when the partitions are there.
        with Wire(daemon):
            pass
        return {entry["name"]: identity(daemon, entry["name"]) for entry in daemon.ctl_json("exports")["exports"]}


@pytest.fixture
def machine(directory):
    """How a server sees the machine's identity as that of a file, which this sets; None: there is none."""
    path = os.path.join(directory, "machine-id")
    try:
        subprocess.run(["unshare", "--mount", "mount", "--bind", "/dev/null", "/etc/machine-id"], check=True, timeout=60, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no mount namespace, or no /etc/machine-id to cover: {error}")

    def is_called(text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return {"command": ["unshare", "--mount", "sh", "-ec", f'mount --bind {path} /etc/machine-id\nexec "$@"', "sh"]}

    return is_called


def test_a_file_keeps_its_identity(directory, machine):
    here = machine("0123456789abcdef0123456789abcdef\n")
    path, other = sparse_file(directory, MIB), sparse_file(directory, MIB, "other")
    first = identities(directory, f"a={path}", f"b={other}", "c=null:1M", **here)
    # Neither another name or key, nor another way to write the path makes it another disk; it may be linked to.
    os.symlink(other, os.path.join(directory, "link"))
    again = identities(directory, f"x={directory}/./disk,direct=off,readonly", f"l={directory}/link,share", "c=null:2M", **here)
    assert again["x"] == first["a"]
    assert again["c"] == first["c"]
    assert len({*first.values(), again["l"]}) == 4
    assert {uuid.UUID(text).version for text in first.values()} == {8}


def test_another_machine_has_other_identities(directory, machine):
    path = sparse_file(directory, MIB)
    first = identities(directory, f"a={path}", **machine("0123456789abcdef0123456789abcdef\n"))
    assert identities(directory, f"a={path}", **machine("1123456789abcdef0123456789abcdef\n")) != first


@pytest.mark.parametrize("content", ["", "uninitialized\n", "0123\n"])
def test_without_a_machine_id_there_is_none_that_would_change_and_the_log_says_so_once(directory, machine, content):
    """A client would take another one after a restart for another disk."""
    path = sparse_file(directory, MIB)
    with Daemon(directory, f"a={path}", "b=null:1M", f"c=ram:1M,uuid={GIVEN}", "d=ram:1M", **machine(content)) as daemon:
        for name in "ab":
            assert b"uuid=" not in description(daemon, name)
        assert [export["uuid"] for export in daemon.ctl_json("exports")["exports"]][:2] == [None, None]
        assert identity(daemon, "c") == GIVEN
        assert uuid.UUID(identity(daemon, "d")).version == 4
        assert daemon.log().count("machine-id") == 1


def test_a_ram_disk_is_another_one_each_time(directory):
    seen = {found for _ in range(2) for found in identities(directory, "a=ram:1M").values()}
    with Daemon(directory, "a=ram:1M") as daemon:
        seen.add(identity(daemon, "a"))
        daemon.ctl("export", "remove", "a")
        daemon.ctl("export", "add", "a=ram:1M")
        seen.add(identity(daemon, "a"))
    assert len(seen) == 4
    assert {uuid.UUID(text).version for text in seen} == {4}


def test_one_that_is_given(directory):
    with Daemon(directory, f"a=ram:1M,uuid={GIVEN.upper()}", "b=disk:a,readonly",
                "c=disk:a,uuid=11111111-1111-1111-1111-111111111111") as daemon:
        # It is the disk's, whatever its name, unless the name has one.
        assert [identity(daemon, name) for name in "abc"] == [GIVEN, GIVEN, "11111111-1111-1111-1111-111111111111"]
        assert [disk["uuid"] for disk in daemon.ctl_json("lsblk")["disks"]] == [GIVEN]


@pytest.mark.parametrize("given", ["", "=", "=none", "=" + GIVEN[:-1], "=" + GIVEN + "0", "=" + GIVEN.replace("-", "0"), "=g" + GIVEN[1:],
                                   "={" + GIVEN + "}", f"={GIVEN},uuid={GIVEN}"])
def test_a_bad_one_is_refused(directory, given):
    with Daemon(directory, "ram:1M") as daemon:
        message = daemon.ctl("export", "add", "x=ram:1M,uuid" + given, status=1)
        assert ("given twice" if "," in given else "not a UUID; write one as uuidgen(1) prints it") in message
        assert len(daemon.ctl_json("lsblk")["disks"]) == 1


@pytest.mark.parametrize("written, told", [("", ""), ("x", "x "), ("d" * 4054, "d" * 4054 + " "), ("d" * 4055, "d" * 4054 + " "), ("d" * 4096, "d" * 4054 + " "),
                                           ("d" * 4053 + "ß", "d" * 4053 + " "), ("d" * 4052 + "ß", "d" * 4052 + "ß ")], ids=lambda text: str(len(text)))
def test_it_has_room_behind_a_long_description(directory, written, told):
    with Daemon(directory, f"a=ram:1M,uuid={GIVEN},description={written}") as daemon:
        assert description(daemon, "a").decode() == f"{told}uuid={GIVEN}"


def test_partitions_have_their_own_which_follow_from_the_disk(directory):
    path = sparse_file(directory, 8 * MIB)
    subprocess.run(["sfdisk", "--quiet", path], input="label: gpt\nsize=1MiB\nsize=1MiB\n", text=True, check=True, timeout=60)
    first = identities(directory, f"m={path},partitions,uuid={GIVEN}")
    assert len(set(first.values())) == 3
    copy = shutil.copy(path, os.path.join(directory, "copy"))
    # Wherever it is served, under whatever name.
    moved = identities(directory, f"n={copy},partitions,uuid={GIVEN}")
    assert (moved["np1"], moved["np2"]) == (first["mp1"], first["mp2"])
    another = identities(directory, f"m={path},partitions,uuid=11111111-1111-1111-1111-111111111111")
    assert not set(another.values()) & set(first.values())


def test_another_medium_is_another_disk_unless_it_was_given(directory):
    path, other = sparse_file(directory, MIB), sparse_file(directory, MIB, "other")
    with Daemon(directory, f"a={path},removable", f"g={path},share,removable,uuid={GIVEN}") as daemon:
        before = identity(daemon, "a")
        for name in "ag":
            daemon.ctl("ioctl", name, "eject")
            daemon.ctl("ioctl", name, "load", other)
            daemon.ctl("ioctl", name, "eject")
        daemon.ctl("ioctl", "a", "load", other)
        daemon.ctl("ioctl", "g", "load", path)
        assert identity(daemon, "a") != before
        assert identity(daemon, "g") == GIVEN
        daemon.ctl("ioctl", "a", "eject")
        daemon.ctl("ioctl", "g", "eject")
        daemon.ctl("ioctl", "a", "load", path)
        assert identity(daemon, "a") == before
