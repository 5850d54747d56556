# SPDX-License-Identifier: BSD-2-Clause
"""The end of a server whose modules or drivers take their time: it says what it waits for, and doesn't wait for modules for ever."""

import os
import signal
import subprocess

from daemon import PLATTERCTL, Daemon, wait_for
from modules_support import build, driver, module
from wire_client import CMD_READ, Wire, request

OPTIONS = ["--drain-timeout", "1"]
SLEEP = "{ struct timespec t = { %d }; nanosleep(&t, NULL); }"


def stuck(name, function):
    """A module whose init or exit function doesn't return."""
    return f"#include <time.h>\nstatic void wait(void) {SLEEP % 600}\nstatic int start(void) {{ wait(); return 0; }}\n" \
           f"{module(name)} {'PLATTER_INIT(start)' if function == 'init' else 'PLATTER_EXIT(wait)'};"


def load_stuck(daemon, directory):
    """Begins to load a module whose init doesn't return."""
    loader = subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "insmod", build(directory, "stuck", stuck("stuck", "init"))],
                              stderr=subprocess.DEVNULL)
    wait_for(lambda: "Loading" in daemon.ctl("lsmod"), "it is being loaded")
    return loader


def ends_without(daemon, what):
    daemon.good_statuses = {1}
    assert daemon.process.wait(60) == 1
    assert f"still waiting for the module stuck, which is being {what}" in daemon.log()
    assert not os.path.exists(daemon.socket) and not os.path.exists(daemon.control)


def test_an_init_that_does_not_return_does_not_keep_the_server(directory):
    with Daemon(directory, "a=ram:1M", options=OPTIONS) as daemon:
        with load_stuck(daemon, directory):
            os.kill(daemon.pid, signal.SIGTERM)
            ends_without(daemon, "loaded: has its init returned?")


def test_an_exit_that_does_not_return_does_not_keep_the_server(directory):
    with Daemon(directory, "a=ram:1M", options=OPTIONS) as daemon:
        daemon.ctl("insmod", build(directory, "stuck", stuck("stuck", "exit")))
        os.kill(daemon.pid, signal.SIGTERM)
        ends_without(daemon, "unloaded: has its exit returned?")


def test_a_module_that_is_not_waited_for_costs_nobody_the_answer(directory):
    with Daemon(directory, "slow=null:1M,delay=2500000", options=OPTIONS) as daemon, Wire(daemon) as wire:
        before = daemon.stats()["requests"]
        wire.go(b"slow").send(request(CMD_READ, 0, 16))
        wait_for(lambda: daemon.stats()["requests"] == before + 1, "the request is taken")
        with load_stuck(daemon, directory):
            os.kill(daemon.pid, signal.SIGTERM)
            assert wire.reply(16) == (0, 1, bytes(16))
            assert "still waiting for the disk slow, which is in use" in daemon.log()
            wire.socket.close()
            ends_without(daemon, "loaded")


def test_a_driver_that_takes_long_to_release_is_named_and_waited_for(directory):
    source = "#include <time.h>\n" + driver().replace("static const struct platter_disk_ops", f'''
        static int mem_release(struct platter_disk *disk, struct platter_error *error)
        {{ {SLEEP % 3} platter_log(PLATTER_LOG_WARNING, "released"); return 0; }}
        static const struct platter_disk_ops''').replace(".open = mem_open", ".open = mem_open, .release = mem_release")
    with Daemon(directory, "a=ram:1M", options=OPTIONS) as daemon:
        daemon.ctl("insmod", build(directory, "mem", source))
        daemon.ctl("export", "add", "m=mem:1M")
        wire = Wire(daemon).go(b"m")
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.closed()
        wire.socket.close()
        assert daemon.process.wait(60) == 0
        assert "still waiting for the disk m, which its driver is still releasing" in daemon.log() and "warning: released" in daemon.log()
