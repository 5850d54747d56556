# SPDX-License-Identifier: BSD-2-Clause
"""Modules that take their time, until the test lets them go on, or for ever: what goes on meanwhile, and what is refused."""

import os
import signal
import subprocess
import time

import pytest

from daemon import PLATTERCTL, Daemon, wait_for
from modules_support import build, driver, hello, variant
from wire_client import CMD_READ, OPT_GO, REP_ACK, Wire, go_data, option, request


class Gate:
    """Where a module waits until it is opened."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "gate")
        os.mkfifo(self.path)
        self.source = f'''
            #include <fcntl.h>
            #include <unistd.h>
            static void wait_at_the_gate(void)
            {{
                int fd = open("{self.path}", O_RDONLY | O_CLOEXEC);
                char byte;
                while (read(fd, &byte, 1) < 0) ;
                close(fd);
            }}
        '''

    def open(self):
        """Waits for whoever is to come."""
        with open(self.path, "wb"):
            pass


@pytest.fixture
def gate(directory):
    return Gate(directory)


def state(daemon, name):
    return {one["name"]: one["state"] for one in daemon.ctl_json("lsmod")["modules"]}.get(name)


def start(daemon, *arguments):
    return subprocess.Popen([PLATTERCTL, "--socket", daemon.control, *arguments], stderr=subprocess.PIPE, text=True)


def get_in(daemon, name):
    """Whether a client does."""
    with Wire(daemon) as wire:
        wire.flags()
        return wire.option(OPT_GO, go_data(name))[-1][0] == REP_ACK


def test_a_module_that_is_loading_or_unloading_is_seen(directory, gate):
    source = gate.source + hello("slow").replace('{ platter_log(PLATTER_LOG_WARNING, "hello");', "{ wait_at_the_gate();").replace(
        '{ platter_log(PLATTER_LOG_WARNING, "goodbye");', "{ wait_at_the_gate();")
    path = build(directory, "slow", source)
    assert source.count("wait_at_the_gate();") == 2
    with Daemon(directory, "a=ram:1M") as daemon:
        for verb, what, said in (("insmod", path, "Loading"), ("rmmod", "slow", "Unloading")):
            with start(daemon, verb, what) as waiting:
                wait_for(lambda: state(daemon, "slow") == said, f"it is {said}")
                assert daemon.ctl("lsmod").splitlines()[1].endswith(" " + said)
                assert "loaded already" in daemon.ctl("insmod", path, status=1)
                for refused in (("rmmod", "slow"), ("param", "slow"), ("param", "slow", "x", "1")):
                    assert f"slow is being {said.replace('ing', 'ed').lower()}" in daemon.ctl(*refused, status=1)
                assert waiting.poll() is None
                gate.open()
                assert waiting.wait(60) == 0
        assert daemon.ctl_json("lsmod") == {"modules": []}


def test_a_drain_that_runs_out_changes_nothing(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "mem", driver()))
        daemon.ctl("export", "add", "m=mem:1M", "n=mem:1M", "ro=disk:m,readonly")
        with Wire(daemon).go(b"m") as wire:
            before = [daemon.ctl_json(verb) for verb in ("lsmod", "lsblk", "exports", "devices")]
            assert wire.write(0, b"x" * 512) == 0
            begin = time.monotonic()
            assert "m is in use by 1" in daemon.ctl("rmmod", "--drain=1", "mem", status=1)
            assert time.monotonic() - begin >= 1
            assert [daemon.ctl_json(verb) for verb in ("lsmod", "lsblk", "exports", "devices")] == before
            for name in (b"m", b"n", b"ro"):
                assert get_in(daemon, name)
            assert wire.read(0, 512) == b"x" * 512
            wire.disconnect()
        daemon.ctl("export", "add", "o=mem:1M")
        daemon.ctl("rmmod", "--drain", "mem")


def test_an_open_that_takes_for_ever_keeps_nobody_else(directory, gate):
    source = gate.source + driver().replace("geometry->bytes = mem->size;",
                                            'geometry->bytes = mem->size; if (!strcmp(platter_disk_name(disk), "slow")) wait_at_the_gate();')
    os.mkdir(os.path.join(directory, "modules"))
    build(os.path.join(directory, "modules"), "mem", source)
    other = build(os.path.join(directory, "modules"), "hello", 'static int n; PLATTER_PARAM(n, int, 0644, "x");\n' + hello())
    subprocess.run([PLATTERCTL, "depmod", os.path.join(directory, "modules")], check=True, timeout=60)
    # One reactor: whom it kept waiting would wait here.
    with Daemon(directory, "a=ram:1M", "slow=mem:1M", "quick=mem:1M", options=["--threads", "1"]) as daemon:
        waiting = [Wire(daemon) for _ in range(3)]
        for wire in waiting:
            wire.flags()
            wire.send(option(OPT_GO, go_data(b"slow")))
        wait_for(lambda: {one["name"]: one["users"] for one in daemon.ctl_json("lsblk")["disks"]}["slow"] == 3, "three wait for it")
        wires = [Wire(daemon).go(name) for name in (b"a", b"quick")]
        for number in range(10):
            for wire in wires:
                assert wire.write(number * 512, bytes([number]) * 512) == 0 and wire.read(number * 512, 512) == bytes([number]) * 512
            for verb in ("lsblk", "devices", "exports", "clients", "dmesg", "lsmod", "symbols"):
                assert daemon.ctl(verb)
            assert daemon.ctl("export", "add", "new=mem:1M") == "new\n" and get_in(daemon, b"new")
            daemon.ctl("export", "resize", "a", f"{number + 2}M")
            daemon.ctl("check", "quick")
            daemon.ctl("export", "remove", "--drain=60", "new")
            daemon.ctl("insmod", other, "n=7")
            daemon.ctl("param", "hello", "n", "8")
            daemon.ctl("rmmod", "hello")
            daemon.ctl("modprobe", "hello")
            daemon.ctl("modprobe", "-r", "hello")
            assert "slow is in use by 3" in daemon.ctl("export", "remove", "slow", status=1)
            assert "in use" in daemon.ctl("rmmod", "mem", status=1)
        # One that hangs up is forgotten when the driver is back.
        waiting.pop().socket.close()
        gate.open()
        for wire in waiting:
            assert wire.option_replies(OPT_GO)[-1][0] == REP_ACK
            assert wire.read(0, 512) == bytes(512)
            wire.disconnect()
        for wire in wires:
            wire.disconnect()
        daemon.ctl("rmmod", "--drain", "mem")


def test_a_driver_that_never_completes_is_complained_of_and_stays(directory):
    """By name, once for each request; it harms nobody else, and the end waits for it until a second signal."""
    source = variant("never", "if (request->op != PLATTER_OP_READ) " + "platter_request_complete(request, 0);")
    with Daemon(directory, "a=ram:1M", options=["--watchdog", "1", "--drain-timeout", "1", "--threads", "1"]) as daemon:
        never_ends(daemon, build(directory, "never", source))


def test_a_handle_that_never_returns_is_complained_of_and_stays(directory, gate):
    source = variant("never", "if (request->op == PLATTER_OP_READ) wait_at_the_gate(); return 0;", gate.source,
                     ops=".handle = mem_submit").replace("static void mem_submit(", "static int mem_submit(")
    with Daemon(directory, "a=ram:1M", options=["--watchdog", "1", "--drain-timeout", "1", "--threads", "1"]) as daemon:
        never_ends(daemon, build(directory, "never", source))


def never_ends(daemon, module):
    def complaints():
        return daemon.log().count("its driver has had a read of 512 bytes at ")

    daemon.ctl("insmod", module)
    daemon.ctl("export", "add", "m=never:1M", "n=never:1M")
    with Wire(daemon).go(b"m") as wire:
        wire.send(request(CMD_READ, 4096, 512))
        wait_for(complaints, "the watchdog complains")
        assert "warning: m: its driver has had a read of 512 bytes at 4096 for more than 1 s\n" in daemon.log()
        # The same connection goes on, and so do others, of this disk and of others.
        assert wire.write(0, b"x" * 512) == 0
        for name in (b"m", b"n", b"a"):
            with Wire(daemon).go(name) as other:
                assert other.write(0, b"x" * 512) == 0
                other.disconnect()
    # Its client has gone, but the driver has the request still.
    wait_for(lambda: daemon.ctl_json("lsblk")["disks"][1]["users"] == 1, "the others have gone")
    assert "m is in use by 1" in daemon.ctl("rmmod", "never", status=1)
    assert "m is in use by 1" in daemon.ctl("rmmod", "--drain=1", "never", status=1)
    assert "m is in use by 1" in daemon.ctl("export", "remove", "m", status=1)
    daemon.ctl("export", "remove", "n")
    assert complaints() == 1
    with Wire(daemon).go(b"m") as wire:
        wire.send(request(CMD_READ, 8192, 512))
        wait_for(lambda: sum(one["in_flight"] for one in daemon.ctl_json("clients")["clients"]) == 2, "the driver has both")
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "Terminated: finishing; once more ends at once" in daemon.log(), "it is to end")
        # The time that clients have to read is not the driver's.
        wait_for(lambda: complaints() == 2 or not daemon.alive(), "the watchdog complains of this one, too")
        assert daemon.alive()
        daemon.good_statuses = {1}
        assert daemon.stop() == 1
        assert "Terminated again: ending at once" in daemon.log()
