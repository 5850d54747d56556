# SPDX-License-Identifier: BSD-2-Clause
"""Many modules come and go at once, at the hands of several administrators, while clients read and write."""

import collections
import os
import random
import re
import subprocess
import threading
import time

import pytest

from control_client import ControlClient
from daemon import PLATTERCTL, Daemon, wait_for
from modules_support import ROOT, TIMER, build, by_thread, driver, importer, module, symbol, variant
from seeds import seconds, seeded
from wire_client import OPT_GO, REP_ACK, Wire, go_data

KIB = 1 << 10
# Nobody is to get rid of these: clients use them all the time.
STEADY = ("rock", "stack", "delay")
STEADY_USERS = 4
CHAIN = tuple(f"link{number}" for number in range(5))
DRIVERS = ("mem0", "mem1", "mem2")
LOOSE = (*CHAIN, "use0", "use1", *DRIVERS, "error", "linear")
NAMES = tuple(f"{kind}{number}" for kind in "mt" for number in range(3))
# What may be answered to what others have made pointless meanwhile.
ALLOWED = {"EEXIST", "ENOENT", "EBUSY", "EINVAL", "ENODEV"}


def link(number):
    """Imports from the one before it, exports for the next."""
    source = symbol(f"s{number}") + f"PLATTER_EXPORT_SYMBOL(s{number});\n"
    value = "1"
    if number:
        source = symbol(f"s{number - 1}") + f"PLATTER_IMPORT(s{number - 1});\n" + source
        value = f"s{number - 1}(x) + 1"
    return source + f"int s{number}(int x) {{ return {value}; }}\n" + module(f"link{number}")


@pytest.fixture
def modules(directory):
    """Where Daemon looks for them: a chain, what imports from it, drivers of three kinds, one of which imports, and plugins."""
    place = os.path.join(directory, "modules")
    os.mkdir(place)
    for number in range(5):
        build(place, f"link{number}", link(number))
    build(place, "use0", importer("use0", ("s4",)))
    build(place, "use1", importer("use1", ("s2", "s0")))
    build(place, "mem0", driver("mem0"))
    build(place, "mem1", by_thread("mem1"))
    build(place, "mem2", symbol("s1") + "PLATTER_IMPORT(s1);\n" + driver("mem2", init="if (s1(0) != 2) return -EPROTO;"))
    build(place, "rock", variant("rock", "by_timer(request);", TIMER))
    for name in ("stack", "delay", "error", "linear"):
        with open(os.path.join(ROOT, "plugins", name, name + ".c"), encoding="utf-8") as source:
            build(place, name, source.read(), "-I", ROOT)
    subprocess.run([PLATTERCTL, "depmod", place], check=True, timeout=60)
    return place


class Stress:
    """Threads that go on until the time is up, what they saw, and what was wrong."""

    def __init__(self, daemon, place, seed):
        self.daemon, self.place, self.seed = daemon, place, seed
        self.end = time.monotonic() + seconds(5)
        self.done, self.refused = collections.Counter(), collections.Counter()
        self.seen, self.errors, self.threads = set(), [], []
        self.over = threading.Event()

    def start(self, work, number):
        def run():
            try:
                work(self, random.Random(f"{self.seed} {work.__name__} {number}"), number)
            except BaseException as error:  # pylint: disable=broad-except
                self.errors.append(error)
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def goes_on(self):
        return time.monotonic() < self.end and not self.errors

    def finish(self):
        """The first to come leave last."""
        for thread in self.threads[STEADY_USERS:]:
            thread.join()
        self.over.set()
        for thread in self.threads[:STEADY_USERS]:
            thread.join()
        assert not self.errors, self.errors


def change(choose, place):
    """Something to do that is right as such, and may be wrong just now."""
    name, number = choose.choice(LOOSE), choose.randrange(3)
    return choose.choice((
        ("module.insmod", {"file": f"{place}/{name}.so"}),
        ("module.rmmod", {"name": name}),
        ("module.rmmod", {"name": name, "drain": choose.randrange(2)}),
        ("module.modprobe", {"name": choose.choice(("use0", "use1", "mem2", "linear"))}),
        ("module.modprobe", {"name": name, "remove": True}),
        # The module is loaded through its driver's alias, with what it imports from.
        ("export.add", {"spec": f"m{number}={choose.choice(DRIVERS)}:64K"}),
        ("export.add", {"spec": f"t{number}=" + choose.choice(("error:m0", "linear:m0+m1", "linear:m1+m2", "error:m2"))}),
        ("export.remove", {"name": choose.choice(NAMES)}),
        ("module.param.set", {"name": "delay", "param": "read_us", "value": str(choose.randrange(300))}),
        ("modules", {}), ("symbols", {}), ("disks", {}), ("exports", {}), ("clients", {}), ("devices", {}), ("log", {}),
    ))


def administrate(stress, choose, _):
    with ControlClient(stress.daemon) as client:
        while stress.goes_on():
            method, params = change(choose, stress.place)
            answer = client.call(method, **params)
            if "result" in answer:
                stress.done[method] += 1
                stress.seen |= {one["name"] for one in answer["result"].get("modules", ())}
            else:
                assert answer["error"]["code"] in ALLOWED, (method, params, answer)
                stress.refused[method] += 1
            # What is in use stays.
            answer = client.call("module.rmmod", name=choose.choice(STEADY))
            assert answer["error"]["code"] == "EBUSY", answer


def write_and_read(wire, choose, number):
    """Nobody else writes this client's part."""
    offset, length = number * 8 * KIB, choose.choice((512, 4 * KIB, 8 * KIB))
    data = choose.randbytes(length)
    assert wire.write(offset, data) == 0
    assert wire.read(offset, length) == data


def use_steadily(stress, choose, number):
    """One connection all the time, and longer than all others."""
    with Wire(stress.daemon).go((b"steady", b"high")[number % 2]) as wire:
        while not stress.over.is_set():
            write_and_read(wire, choose, number)
            stress.done["steady"] += 1
        wire.disconnect()


def use_what_there_is(stress, choose, number):
    """A connection to whatever can be opened just now, for a while: what it uses cannot go."""
    while stress.goes_on():
        name = choose.choice(NAMES)
        with Wire(stress.daemon) as wire:
            wire.flags()
            if wire.option(OPT_GO, go_data(name.encode()))[-1][0] != REP_ACK:
                continue
            for _ in range(choose.randrange(200)):
                write_and_read(wire, choose, number)
            stress.done["use of " + name[0]] += 1
            # Half of them hang up without a word.
            if choose.randrange(2):
                wire.disconnect()


@seeded(1)
def test_many_modules_load_unload_and_serve_at_once(directory, modules, seed):
    """Whatever is refused is refused with a reason, no request fails, and in the end all can be unloaded."""
    exports = ("steady=rock:64K", "low=rock:64K", "high=delay:low")
    with Daemon(directory, *exports, options=["--threads", "2"]) as daemon:
        stress = Stress(daemon, modules, seed)
        for number in range(STEADY_USERS):
            stress.start(use_steadily, number)
        wait_for(lambda: [one["users"] for one in daemon.ctl_json("lsblk")["disks"]] == [2, 1, 2], "the steady ones are in")
        for number in range(3):
            stress.start(use_what_there_is, number)
        for number in range(4):
            stress.start(administrate, number)
        stress.finish()
        print(stress.done, stress.refused)
        # All of it happened.
        assert stress.seen == {*STEADY, *LOOSE}
        for what in ("module.insmod", "module.rmmod", "module.modprobe", "export.add", "export.remove", "steady", "use of m", "use of t"):
            assert stress.done[what] > 0, stress.done
        with ControlClient(daemon) as client:
            for export in reversed(client.result("disks")["disks"]):
                client.result("export.remove", name=export["name"], drain=60)
            while loaded := client.result("modules")["modules"]:
                unused = next(one["name"] for one in loaded if not one["used_by"])
                client.result("module.rmmod", name=unused, drain=60)
        with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as maps:
            assert modules not in maps.read()
        log = daemon.log()
        assert set(re.findall(r"twice is (\d+)", log)) == {"5", "4"}
        # Of errors; but for the module of that name.
        assert re.findall(r"^platterd: error: (?!unloaded|loaded).*|.*forgot.*", log, re.M) == []
