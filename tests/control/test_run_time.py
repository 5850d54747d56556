# SPDX-License-Identifier: BSD-2-Clause
"""Exports that come and go while the server runs, with platterctl."""

import os
import threading

import pytest

from daemon import SANITIZED, Daemon, wait_for
from control_client import ControlClient
from wire_client import CMD_WRITE, EPERM, OPT_GO, OPT_LIST, REP_ACK, Wire, go_data

MIB = 1 << 20


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:1M") as running:
        yield running


def names(daemon):
    return [export["name"] for export in daemon.ctl_json("exports")["exports"]]


def export(daemon, name):
    return next(one for one in daemon.ctl_json("exports")["exports"] if one["name"] == name)


def disk(daemon, name):
    return next(one for one in daemon.ctl_json("lsblk")["disks"] if one["name"] == name)


def listed_to_clients(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        return [data[4:4 + int.from_bytes(data[:4], "big")].decode() for _, data in wire.option(OPT_LIST)[:-1]]


def try_go(wire, name):
    """The last reply to GO."""
    wire.flags()
    return wire.option(OPT_GO, go_data(name))[-1]


def test_an_export_that_is_added_is_listed_and_served_at_once(daemon):
    assert daemon.ctl("export", "add", "b/c=ram:2M,description=new") == "b/c\n"
    assert names(daemon) == listed_to_clients(daemon) == ["a", "b/c"]
    wire = Wire(daemon).go(b"b/c")
    wire.write(4096, b"x" * 512)
    assert wire.read(4096, 512) == b"x" * 512
    found = export(daemon, "b/c")
    assert (found["size"], found["read_only"], found["clients"], found["description"]) == (2 * MIB, False, 1, "new")
    wire.disconnect()


def test_the_server_names_what_has_no_name(daemon):
    assert daemon.ctl("export", "add", "ram:1M", "ram:1M", "null:1G") == "ram0\nram1\nnull0\n"
    daemon.ctl("export", "remove", "ram0")
    assert daemon.ctl("export", "add", "ram:1M") == "ram0\n"


@pytest.mark.parametrize("spec, reason", [
    ("a=ram:1M", "already an export of this name"), ("nothing:1", "unknown driver"), ("ram:x", "x"), ("/nowhere", "/nowhere"),
    ("x=disk:nothing", "no disk named \"nothing\""), ("disk:a", "needs a name"), ("x=disk:", "name of a disk is missing"),
    ("x=disk:a,size=7", "no key \"size\""), ("a=disk:a", "already an export of this name"), ("", "unknown driver"),
    ("x=ram:1M,export=maybe", "export=maybe"),
])
def test_a_bad_spec_is_refused_and_nothing_stays_behind(daemon, spec, reason):
    descriptors = daemon.descriptors()
    before = daemon.ctl_json("lsblk")
    assert reason in daemon.ctl("export", "add", spec, status=1)
    assert daemon.ctl_json("lsblk") == before and names(daemon) == ["a"]
    wait_for(lambda: daemon.descriptors() <= descriptors, "descriptors are closed")


def test_another_export_of_a_disk_may_allow_less(daemon):
    daemon.ctl("export", "add", "ro1=disk:a,readonly,description=look")
    writer, reader = Wire(daemon).go(b"a"), Wire(daemon).go(b"ro1")
    writer.write(0, b"y" * 512)
    assert reader.read(0, 512) == b"y" * 512
    assert reader.command(CMD_WRITE, 0, 512, payload=b"z" * 512) == (EPERM, b"")
    assert export(daemon, "ro1")["disk"] == "a" and export(daemon, "ro1")["read_only"]
    assert disk(daemon, "a")["users"] == 2
    # The disk stays as long as it has the other name; the other name goes without it.
    assert "exported as ro1" in daemon.ctl("export", "remove", "a", status=1)
    assert ": ro1 is in use by 1 client; see platterctl clients\n" in daemon.ctl("export", "remove", "ro1", status=1)
    reader.disconnect()
    daemon.ctl("export", "remove", "--drain=60", "ro1")
    assert names(daemon) == ["a"]
    assert writer.read(0, 512) == b"y" * 512
    writer.disconnect()


def test_a_disk_may_have_no_export(daemon):
    assert daemon.ctl("export", "add", "hidden=ram:1M,export=off") == ""
    assert names(daemon) == ["a"] and disk(daemon, "hidden")
    daemon.ctl("export", "add", "seen=disk:hidden")
    assert "already an export of this name" in daemon.ctl("export", "add", "hidden=ram:1M", status=1)
    daemon.ctl("export", "remove", "seen", "hidden")
    assert [one["name"] for one in daemon.ctl_json("lsblk")["disks"]] == ["a"]


def test_what_clients_use_stays(daemon):
    wire = Wire(daemon).go(b"a")
    with Wire(daemon).go(b"a") as other:
        assert ": a is in use by 2 clients; see platterctl clients\n" in daemon.ctl("export", "remove", "a", status=1)
        other.disconnect()
    wait_for(lambda: disk(daemon, "a")["users"] == 1, "one has gone")
    assert "a is in use by 1 client; see platterctl clients\n" in daemon.ctl("export", "remove", "a", status=1)
    assert "a is in use by 1" in daemon.ctl("export", "remove", "--drain=0", "a", status=1)
    assert names(daemon) == listed_to_clients(daemon) == ["a"]
    wire.write(0, b"q" * 512)
    wire.disconnect()
    daemon.ctl("export", "remove", "--drain=60", "a")
    assert names(daemon) == listed_to_clients(daemon) == []


def test_draining_waits_for_the_clients_and_lets_nobody_in(daemon):
    wire = Wire(daemon).go(b"a")
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"export.remove","params":{"name":"a","drain":600}}\n')

        def refused():
            with Wire(daemon) as newcomer:
                return b"being removed" in try_go(newcomer, b"a")[1]

        wait_for(refused, "newcomers are refused")
        wire.write(0, b"q" * 512)
        wire.disconnect()
        assert client.receive() == {"id": 1, "result": {}}
    assert names(daemon) == []


def test_draining_that_takes_too_long_changes_nothing(daemon):
    wire = Wire(daemon).go(b"a")
    assert "in use by 1" in daemon.ctl("export", "remove", "--drain=1", "a", status=1)
    other = Wire(daemon).go(b"a")
    assert other.read(0, 512) == wire.read(0, 512)
    wire.disconnect()
    other.disconnect()


def test_an_alias_that_drains_keeps_its_name_and_its_place(daemon):
    daemon.ctl("export", "add", "x=disk:a", "y=disk:a")
    wire = Wire(daemon).go(b"x")
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"export.remove","params":{"name":"x","drain":2}}\n')
        wait_for(lambda: listed_to_clients(daemon) == ["a", "y"], "it is no more listed to clients")
        assert "already an export" in daemon.ctl("export", "add", "x=null:5M", status=1)
        assert "exported as x" in daemon.ctl("export", "remove", "a", status=1)
        assert client.receive()["error"]["code"] == "EBUSY"
    assert names(daemon) == listed_to_clients(daemon) == ["a", "x", "y"]
    wire.disconnect()


def test_removing_a_disk_takes_no_other_export_along(daemon):
    daemon.ctl("export", "add", "hidden=ram:1M,export=off", "x=disk:hidden")
    assert "exported as x" in daemon.ctl("export", "remove", "hidden", status=1)
    assert names(daemon) == ["a", "x"]


def test_nobody_waits_for_an_administrator_who_has_gone(daemon):
    wire = Wire(daemon).go(b"a")
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"export.remove","params":{"name":"a","drain":600}}\n')

        def refused():
            with Wire(daemon) as newcomer:
                return b"being removed" in try_go(newcomer, b"a")[1]

        wait_for(refused, "newcomers are refused")

    def served():
        with Wire(daemon) as newcomer:
            return try_go(newcomer, b"a")[0] == REP_ACK

    wait_for(served, "newcomers are served again")
    assert names(daemon) == ["a"]
    wire.disconnect()


def test_a_thousand_unnamed_exports_are_added_in_no_time(daemon):
    with ControlClient(daemon) as client:
        for _ in range(1000):
            client.result("export.add", spec="null:1M")
    assert names(daemon)[-1] == "null999"


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "\x7f", "c1\u0085"])
def test_control_characters_are_no_part_of_a_name(daemon, name):
    assert "without control characters" in daemon.ctl("export", "add", name + "=ram:1M", status=1)
    assert "without control characters" in daemon.ctl("export", "add", "x=ram:1M,description=" + name, status=1)


def test_a_server_that_drains_an_export_can_be_stopped(daemon):
    wire = Wire(daemon).go(b"a")
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"export.remove","params":{"name":"a","drain":600}}\n')
        daemon.process.send_signal(15)
        wire.disconnect()
        assert daemon.process.wait(60) == 0


def test_memory_and_descriptors_go_with_the_exports(directory):
    path = os.path.join(directory, "image")
    with open(path, "wb") as image:
        image.truncate(MIB)
    with Daemon(directory, "a=ram:1M") as daemon:
        def churn(rounds):
            with ControlClient(daemon) as client:
                for _ in range(rounds):
                    client.result("export.add", spec="x=ram:1M")
                    client.result("export.add", spec=f"y={path}")
                    wire = Wire(daemon).go(b"x")
                    wire.write(0, b"z" * 65536)
                    wire.disconnect()
                    client.result("export.remove", name="x", drain=60)
                    client.result("export.remove", name="y")

        churn(20)
        descriptors, memory = daemon.descriptors(), daemon.memory()
        churn(200)
        wait_for(lambda: daemon.descriptors() <= descriptors, "descriptors are closed")
        # The sanitizer keeps what is freed for a while, and finds leaks itself.
        assert SANITIZED or daemon.memory() < memory + 2 * MIB


def test_many_administrators_and_clients_at_once(daemon):
    """Adds, removes, lists and I/O on the same few names: whatever happens, happens whole."""
    errors, stop = [], threading.Event()

    def administrate(number):
        try:
            with ControlClient(daemon) as client:
                for i in range(60):
                    name = f"x{(number + i) % 3}"
                    added = client.call("export.add", spec=f"{name}=ram:1M")
                    assert "result" in added or added["error"]["code"] == "EEXIST", added
                    client.result(("exports", "disks", "clients", "devices", "log")[i % 5])
                    removed = client.call("export.remove", name=name)
                    assert "result" in removed or removed["error"]["code"] in ("ENOENT", "EBUSY", "ENODEV"), removed
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    def use(number):
        try:
            while not stop.is_set():
                with Wire(daemon) as wire:
                    if try_go(wire, f"x{number % 3}".encode())[0] == REP_ACK:
                        assert wire.write(0, bytes([number]) * 4096) == 0
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    users = [threading.Thread(target=use, args=(i,)) for i in range(3)]
    administrators = [threading.Thread(target=administrate, args=(i,)) for i in range(4)]
    for thread in users + administrators:
        thread.start()
    for thread in administrators:
        thread.join()
    stop.set()
    for thread in users:
        thread.join()
    assert not errors, errors
    assert daemon.alive() and "a" in names(daemon)
