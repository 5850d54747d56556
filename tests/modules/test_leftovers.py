# SPDX-License-Identifier: BSD-2-Clause
"""Drivers that leave timers and operations running when their disk is removed: none of a module's code runs once it is unloaded."""

import os
import signal
import subprocess

import pytest

from daemon import PLATTERCTL, Daemon, wait_for
from modules_support import build, driver
from wire_client import Wire

# A request to it takes longer than the timers of the tests.
CLOCK = "clock=null:1M,delay=1500000"

TIMER = '''
    static struct platter_timer late;
    static void rang(struct platter_timer *timer) { platter_log(PLATTER_LOG_WARNING, "rang"); }
    static void leave(struct platter_disk *disk, struct mem *mem)
    {
        struct platter_timer *timer = &WHERE;
        timer->done = rang; platter_timer_start(disk, timer, 500000000);
    }
'''
# In the module's own memory, and in the disk's, which is freed with it.
TIMERS = {"module": TIMER.replace("WHERE", "late"), "disk": TIMER.replace("WHERE", "mem->late")}

READ = '''
    #include <fcntl.h>
    static struct platter_fd_io io;
    static char byte;
    static struct iovec segment = { &byte, 1 };
    static void came(struct platter_fd_io *done, int64_t result) { platter_log(PLATTER_LOG_WARNING, "came back with %d", (int)result); }
    static void leave(struct platter_disk *disk, struct mem *mem)
    {
        io = (struct platter_fd_io){ .fd = open("FIFO", O_RDWR), .op = PLATTER_FD_READ, .flags = FLAGS, .iov = &segment, .iovcnt = 1,
                                     .offset = -1, .length = 1, .done = came };
        platter_fd_io(disk, &io);
    }
'''

LOWER = '''
    #include <platter/lower.h>
    static struct platter_lower *below;
    static struct platter_lower_io io;
    static char bytes[512];
    static struct iovec segment = { bytes, sizeof(bytes) };
    static void came(struct platter_lower_io *done, int error) { platter_log(PLATTER_LOG_WARNING, "came back with %d", -error); }
    static void leave(struct platter_disk *disk, struct mem *mem)
    {
        io = (struct platter_lower_io){ .op = PLATTER_OP_READ, .iov = &segment, .iovcnt = 1, .length = 512, .done = came };
        platter_lower_submit(below, &io);
    }
    static int mem_release(struct platter_disk *disk, struct platter_error *error) { platter_lower_close(below); return 0; }
'''


def leaver(leave):
    """A driver, "mem", that calls leave() at a request, which it completes at once."""
    source = driver("mem").replace("char *memory; };", f"char *memory; struct platter_timer late; }};\n{leave}", 1)
    return source.replace("char *at = mem->memory", "leave(disk, mem); char *at = mem->memory", 1)


def use(daemon):
    daemon.ctl("export", "add", "m=mem:1M")
    with Wire(daemon).go(b"m") as wire:
        assert wire.read(0, 512) == bytes(512)
        wire.disconnect()


def mapped(daemon):
    with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as maps:
        return "mem.so" in maps.read()


def fifo(directory):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    return path


def reader(path, flags):
    return leaver(READ.replace("FIFO", path).replace("FLAGS", flags))


def write_to(path):
    with open(path, "r+b", buffering=0) as file:
        file.write(b"x")


@pytest.mark.parametrize("remove", [("rmmod", "--drain", "mem"), ("export", "remove", "--drain", "m")])
@pytest.mark.parametrize("where", TIMERS)
def test_a_timer_is_stopped_when_its_disk_goes(directory, where, remove):
    with Daemon(directory, CLOCK) as daemon:
        daemon.ctl("insmod", build(directory, "mem", leaver(TIMERS[where])))
        use(daemon)
        daemon.ctl(*remove)
        assert mapped(daemon) == (remove[0] == "export")
        with Wire(daemon).go(b"clock") as wire:
            wire.read(0, 512)
            wire.disconnect()
        assert "m: removed while its driver still has timers (1), which are stopped" in daemon.log() and "rang" not in daemon.log()


def test_a_timer_that_is_left_alone_rings(directory):
    with Daemon(directory, CLOCK) as daemon:
        daemon.ctl("insmod", build(directory, "mem", leaver(TIMERS["disk"])))
        use(daemon)
        wait_for(lambda: "rang" in daemon.log(), "it rings")
        daemon.ctl("rmmod", "--drain", "mem")
        assert "removed while" not in daemon.log()


# By the ring, and on a thread.
FLAGS = ["PLATTER_FD_DIRECT", "PLATTER_FD_REMOTE"]


@pytest.mark.parametrize("flags", FLAGS)
def test_a_file_operation_is_waited_for_before_its_module_goes(directory, flags):
    path = fifo(directory)
    with Daemon(directory, CLOCK) as daemon:
        daemon.ctl("insmod", build(directory, "mem", reader(path, flags)))
        use(daemon)
        with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "rmmod", "--drain", "mem"]) as rmmod:
            wait_for(lambda: "operations (1), which are waited for" in daemon.log(), "it waits")
            assert mapped(daemon) and rmmod.poll() is None and "came back" not in daemon.log()
            write_to(path)
            assert rmmod.wait(60) == 0
        assert "came back with 1" in daemon.log() and not mapped(daemon)


def test_a_request_to_a_lower_disk_is_waited_for_before_its_module_goes(directory):
    source = leaver(LOWER).replace("geometry->bytes =", 'int result = platter_lower_open(disk, "clock", &below, error); '
                                                        "if (result < 0) return result; geometry->bytes =", 1)
    with Daemon(directory, CLOCK) as daemon:
        daemon.ctl("insmod", build(directory, "mem", source.replace(".open = mem_open", ".open = mem_open, .release = mem_release")))
        use(daemon)
        daemon.ctl("rmmod", "--drain", "mem")
        assert "operations (1), which are waited for" in daemon.log() and "came back with 0" in daemon.log()
        assert not mapped(daemon)


@pytest.mark.parametrize("flags", FLAGS)
def test_a_file_operation_is_waited_for_at_the_end(directory, flags):
    path = fifo(directory)
    with Daemon(directory, CLOCK, options=["--threads", "2"]) as daemon:
        daemon.ctl("insmod", build(directory, "mem", reader(path, flags)))
        use(daemon)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it has begun")
        write_to(path)
        assert daemon.process.wait(60) == 0 and "came back with 1" in daemon.log()
