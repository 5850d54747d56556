# SPDX-License-Identifier: BSD-2-Clause
"""platterctl: what it prints and what it exits with."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from control_client import ControlClient
from daemon import PLATTERCTL, Daemon, wait_for
from modules_support import build, module
from wire_client import Wire


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:64M", "b=null:1536M,readonly,description=nothing at all") as running:
        yield running


def run(*arguments, **keywords):
    return subprocess.run([PLATTERCTL, *arguments], capture_output=True, text=True, timeout=60, check=False, **keywords)


def test_lsblk(daemon):
    with Wire(daemon).go(b"a"):
        lines = daemon.ctl("lsblk").splitlines()
    assert lines[0].split() == ["NAME", "MAJ:MIN", "SIZE", "RO", "TYPE", "CLIENTS"]
    assert [line.split() for line in lines[1:]] == [["a", "252:0", "64M", "0", "disk", "1"], ["b", "253:0", "1.5G", "1", "disk", "0"]]


def test_devices_are_listed_as_the_kernel_does(daemon):
    assert daemon.ctl("devices") == "Block devices:\n252 ram\n253 null\n254 file\n"
    assert daemon.ctl_json("devices")["devices"][0] == {"major": 252, "name": "ram"}


def test_exports(daemon):
    lines = daemon.ctl("exports").splitlines()
    assert lines[0].split() == ["NAME", "DISK", "SIZE", "RO", "CLIENTS", "DESCRIPTION"]
    assert lines[2].split(maxsplit=5) == ["b", "b", "1.5G", "1", "0", "nothing at all"]


def test_clients(daemon):
    assert daemon.ctl_json("clients") == {"clients": []}
    with Wire(daemon).go(b"a") as wire, Wire(daemon):
        def two():
            return len(daemon.ctl_json("clients")["clients"]) == 2

        wait_for(two, "both are listed")
        found = sorted(daemon.ctl_json("clients")["clients"], key=lambda one: one["state"])
        assert (found[0]["export"], found[0]["state"]) == (None, "handshake")
        assert (found[1]["export"], found[1]["state"], found[1]["peer"], found[1]["in_flight"]) == ("a", "transmission", "unix", 0)
        assert len(daemon.ctl("clients").splitlines()) == 3
        wire.disconnect()


def test_a_client_on_its_way_to_its_disk_s_reactor_is_listed_once(directory):
    with Daemon(directory, "a=ram:1M", "b=ram:1M", options=["--threads", "2"], tcp=True) as daemon:
        stop = threading.Event()

        def come_and_go():
            while not stop.is_set():
                with Wire(daemon, tcp=True).go(b"b") as wire:
                    wire.disconnect()

        threads = [threading.Thread(target=come_and_go) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            with ControlClient(daemon) as client:
                for _ in range(10):
                    with Wire(daemon, tcp=True).go(b"b") as wire:
                        for _ in range(30):
                            peers = [one["peer"] for one in client.result("clients")["clients"]]
                            # An address belongs to one connection at a time.
                            assert f"127.0.0.1:{wire.socket.getsockname()[1]}" in peers and len(set(peers)) == len(peers)
                        wire.disconnect()
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_dmesg_shows_what_was_logged_and_what_is_too_detailed_for_the_log(daemon):
    daemon.ctl("export", "add", "c=ram:1M")
    with Wire(daemon).go(b"c"):
        pass
    text = daemon.ctl("dmesg")
    assert re.search(r"^\[ +\d+\.\d{6}\] listening on unix:", text, re.M)
    assert re.search(r"^\[ +\d+\.\d{6}\] c: added", text, re.M)
    assert "uses c" in text and "uses c" not in daemon.log()
    message = daemon.ctl_json("dmesg")["messages"][0]
    assert set(message) == {"number", "realtime_us", "uptime_us", "level", "text"}
    assert re.match(r"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ", daemon.ctl("dmesg", "-T"))


def test_a_client_that_connects_in_a_loop_fills_no_log(daemon):
    """At most ten messages of a kind in five seconds; then it is told how many there would have been."""
    start, count = time.monotonic(), 0

    def told():
        nonlocal count
        with Wire(daemon).go(b"a") as wire:
            wire.disconnect()
        count += 1
        return re.findall(r"\] (\d+) messages like the next one were suppressed\n.*: uses a\n", daemon.ctl("dmesg"))

    suppressed = wait_for(told, "the messages are counted")
    text = daemon.ctl("dmesg")
    printed = len(re.findall(r": uses a\n", text))
    assert printed + sum(map(int, suppressed)) == count and printed <= 10 * ((time.monotonic() - start) // 5 + 1)
    assert "reactor" in text


def test_dmesg_knows_levels(directory):
    levels = {"ERROR": (3, "err"), "WARNING": (4, "warn"), "NOTICE": (5, "notice"), "INFO": (6, "info"), "DEBUG": (7, "debug")}
    logs = "".join(f'platter_log(PLATTER_LOG_{level}, "talk: at {level}");' for level in levels)
    path = build(directory, "talk", f"static int start(void) {{ {logs} return 0; }}" + module("talk") + "PLATTER_INIT(start);")
    with Daemon(directory, "a=ram:1M", options=["--verbose", "--verbose"]) as daemon:
        daemon.ctl("insmod", path)

        def talk(*options):
            return [line for line in daemon.ctl("dmesg", *options).splitlines() if "talk: at " in line]

        said = {message["text"]: message["level"] for message in daemon.ctl_json("dmesg")["messages"]}
        assert {level: said[f"talk: at {level}"] for level in levels} == {level: number for level, (number, _) in levels.items()}
        assert [line.split("at ")[1] for line in talk()] == list(levels)
        for line, (level, (_, name)) in zip(talk("-x"), levels.items()):
            assert re.fullmatch(rf"daemon:{name:6}: \[ +\d+\.\d{{6}}\] talk: at {level}", line)
        for options in (("-l", "warn"), ("-lwarn",), ("--level=warn",), ("--level", "warn")):
            assert [line.split("at ")[1] for line in talk(*options)] == ["WARNING"]
        assert [line[:15] for line in talk("-Txl", "debug,err")] == ["daemon:err   : ", "daemon:debug : "]
        assert {message["level"] for message in daemon.ctl_json("dmesg", "-l", "err,notice")["messages"]} == {3, 5}
        assert daemon.ctl("dmesg", "-l", "emerg,alert,crit") == ""
        for wrong in ("", "x", "err,", "errr", "er", "3", "err warn"):
            assert "not a level" in daemon.ctl("dmesg", "-l", wrong, status=2)
        with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "dmesg", "-wxl", "notice"], stdout=subprocess.PIPE) as watcher:
            daemon.ctl("rmmod", "talk")
            while True:
                line = watcher.stdout.readline().decode()
                assert line.startswith("daemon:notice: ")
                if "talk: unloaded" in line:
                    break
            watcher.kill()


def test_dmesg_keeps_the_newest(daemon):
    for _ in range(50):
        daemon.ctl("export", "add", *[f"c{i}=ram:4K" for i in range(50)])
        daemon.ctl("export", "remove", *[f"c{i}" for i in range(50)])
    messages = daemon.ctl_json("dmesg")["messages"]
    assert 1500 < len(messages) <= 4096
    assert messages[-1]["text"].startswith("c49: removed")
    numbers = [message["number"] for message in messages]
    assert numbers == sorted(numbers) and numbers[0] > 1


@pytest.mark.parametrize("verb, expected", [(("dmesg", "-w"), "] x: added"), (("watch",), '"event":"export-added"')])
def test_what_happens_is_seen_as_it_does(daemon, verb, expected):
    with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, *verb], stdout=subprocess.PIPE, text=True) as watcher:
        seen = []

        def comes_and_goes():
            daemon.ctl("export", "add", "x=ram:1M")
            daemon.ctl("export", "remove", "x")
            while select.select([watcher.stdout], [], [], 0)[0]:
                seen.append(os.read(watcher.stdout.fileno(), 65536).decode())
            return expected in "".join(seen)

        wait_for(comes_and_goes, "the watcher sees it")
        assert daemon.stop() == 0
        watcher.stdout.read()
        assert watcher.wait(60) == 0


def test_a_watcher_that_leaves_takes_nothing_with_it(daemon):
    descriptors = daemon.descriptors()
    for _ in range(3):
        with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "watch"], stdout=subprocess.PIPE) as watcher:
            wait_for(lambda: daemon.descriptors() > descriptors, "the watcher is there")
            watcher.kill()
        wait_for(lambda: daemon.descriptors() <= descriptors, "the watcher's descriptor is closed")


def test_options_may_stand_anywhere(daemon):
    assert json.loads(run("exports", "--socket=" + daemon.control, "--json").stdout)["exports"]
    assert json.loads(run("--json", "--socket", daemon.control, "exports").stdout)["exports"]


@pytest.mark.parametrize("arguments", [
    (), ("nothing",), ("lsblk", "x"), ("export",), ("export", "x"), ("export", "add"), ("export", "remove"),
    ("export", "remove", "--drain=x", "a"), ("export", "remove", "--dry", "a"), ("dmesg", "x"), ("dmesg", "-q"), ("dmesg", "-l"),
    ("dmesg", "-l", "x"), ("watch", "x"), ("--nothing",),
])
def test_a_wrong_command_line_exits_with_2(arguments):
    done = run("--socket", "/nowhere", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "platterctl --help" in done.stderr


def test_without_a_server_it_exits_with_3(directory):
    for path in (directory + "/none.sock", directory):
        done = run("--socket", path, "lsblk")
        assert done.returncode == 3 and path in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_refusal_exits_with_1(daemon):
    assert daemon.ctl("export", "remove", "x", status=1) == 'platterctl: error: there is no export named "x"\n'
    assert "that was x=ram:0" in daemon.ctl("export", "add", "x=ram:0", "y=ram:1M", status=1)


def test_options_of_remove_stand_anywhere_and_names_may_begin_with_a_dash(daemon):
    daemon.ctl("export", "add", "-y=ram:1M", "z=ram:1M")
    with Wire(daemon).go(b"z") as wire:
        assert "in use by 1" in daemon.ctl("export", "remove", "z", "--drain=1", status=1)
        wire.disconnect()
    daemon.ctl("export", "remove", "--", "-y")
    daemon.ctl("export", "remove", "z", "--drain=60")
    assert "that was nope" in daemon.ctl("export", "remove", "nope", "a", status=1)


def test_a_path_is_meant_from_where_platterctl_runs(daemon, directory):
    here = os.path.join(directory, "a,b=c")
    os.mkdir(here)
    with open(os.path.join(here, "img, one"), "wb") as image:
        image.truncate(1 << 20)
    for spec in ("./img\\, one,readonly", "x=./img\\, one,readonly"):
        done = run("--socket", daemon.control, "export", "add", spec, cwd=here)
        assert done.returncode == 0, done.stderr


def test_what_is_not_utf_8_is_refused_here(daemon):
    for verb in ("add", "remove"):
        done = subprocess.run([PLATTERCTL, "--socket", daemon.control, "export", verb, b"/tmp/\xff"], capture_output=True, timeout=60,
                              check=False)
        assert done.returncode == 2 and b"not UTF-8" in done.stderr


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and "lsblk" in done.stdout and "Exit status" in done.stdout
    assert run("lsmod", "--help").stdout == run("export", "add", "--help").stdout == done.stdout
    assert re.fullmatch(r"platterctl \d+\.\d+\.\d+\n", run("--version").stdout)


def test_output_that_cannot_be_written_is_an_error(daemon):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PLATTERCTL, "--socket", daemon.control, "lsblk"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr


@pytest.mark.parametrize("arguments", [("dmesg",), ("dmesg", "-w"), ("lsblk",), ("--json", "symbols"), ("--help",)])
def test_output_that_nobody_reads_ends_it_without_a_word(daemon, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([PLATTERCTL, "--socket", daemon.control, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
    finally:
        os.close(writer)
    assert done.returncode == -signal.SIGPIPE and done.stderr == ""


def test_a_server_that_does_not_read_is_heard_all_the_same(directory):
    """More than a socket holds, so that platterctl still sends when the server closes."""
    path = os.path.join(directory, "deaf.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with subprocess.Popen([PLATTERCTL, "--socket", path, "insmod", "/x.so", *("a=" + "x" * 100000 for _ in range(10))],
                              stderr=subprocess.PIPE, text=True) as client:
            connection, _ = server.accept()
            connection.sendall(b'{"error":{"code":"EAGAIN","message":"too many are here"}}\n')
            connection.close()
            assert client.stderr.read() == "platterctl: error: too many are here\n"
            assert client.wait(60) == 1


def test_the_runtime_directory_is_where_users_look(directory):
    environment = {**os.environ, "XDG_RUNTIME_DIR": directory}
    if os.geteuid() == 0:
        done = run("lsblk", env=environment)
        assert "/run/platter/control.sock" in done.stderr
    else:
        assert directory + "/platter/control.sock" in run("lsblk", env=environment).stderr
