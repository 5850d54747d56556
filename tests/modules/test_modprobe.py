# SPDX-License-Identifier: BSD-2-Clause
"""depmod, modprobe, modinfo, the configuration, and drivers that are loaded because somebody asks for them."""

import json
import os
import re
import subprocess

import pytest

from control_client import ControlClient
from daemon import PLATTERCTL, Daemon
from modules_support import build, driver, exporter, hello, importer, module
from wire_client import Wire


class Place:
    """A directory of modules and one of configuration, where Daemon looks for them."""

    def __init__(self, directory):
        self.modules, self.conf = os.path.join(directory, "modules"), os.path.join(directory, "modules.d")
        os.mkdir(self.modules)
        os.mkdir(self.conf)

    def add(self, name, source):
        return build(self.modules, name, source)

    def configure(self, text, name="test.conf"):
        with open(os.path.join(self.conf, name), "w", encoding="utf-8") as file:
            file.write(text)

    def depmod(self, status=0):
        done = subprocess.run([PLATTERCTL, "depmod", self.modules], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, done
        return done.stderr

    def read(self, name):
        with open(os.path.join(self.modules, name), encoding="utf-8") as file:
            return [line for line in file.read().splitlines() if not line.startswith("#")]


@pytest.fixture
def place(directory):
    """lib <- middle <- top, and the driver mem."""
    place = Place(directory)
    place.add("lib", exporter())
    middle = exporter("middle", "more").replace("PLATTER_MODULE", "PLATTER_IMPORT(twice); PLATTER_MODULE")
    place.add("middle", '#define twice_VERSION "1"\ntypedef int twice_FN(int);\n' + middle)
    place.add("top", importer("top", ("more",)) + 'PLATTER_ALIAS("the-top"); PLATTER_ALIAS("wild-*");')
    place.add("mem", driver())
    place.depmod()
    return place


def loaded(daemon):
    """The modules in the order of loading."""
    return [one["name"] for one in reversed(daemon.ctl_json("lsmod")["modules"])]


def test_depmod_writes_who_needs_whom(place):
    assert sorted(place.read("modules.dep")) == ["lib.so:", "mem.so:", "middle.so: lib.so", "top.so: middle.so lib.so"]
    assert sorted(place.read("modules.alias")) == ["alias driver:mem mem", "alias the-top top", "alias wild-* top"]


def test_depmod_names_what_is_wrong(place):
    place.add("orphan", importer("orphan", ("nowhere",)))
    assert "orphan" in place.depmod() and "nowhere" in place.depmod()
    with open(os.path.join(place.modules, "junk.so"), "wb") as file:
        file.write(b"junk")
    assert "junk.so: left out" in place.depmod()
    assert "middle.so: lib.so" in place.read("modules.dep")
    assert subprocess.run([PLATTERCTL, "depmod", "/nowhere"], capture_output=True, timeout=60, check=False).returncode == 1


def test_modprobe_loads_what_is_needed_first_and_removes_what_is_unused(place, directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("modprobe", "top")
        assert loaded(daemon) == ["lib", "middle", "top"]
        daemon.ctl("modprobe", "top")
        assert "middle is in use by: top" in daemon.ctl("modprobe", "-r", "middle", status=1)
        daemon.ctl("modprobe", "-r", "top")
        assert loaded(daemon) == []
        daemon.ctl("insmod", os.path.join(place.modules, "lib.so"))
        daemon.ctl("modprobe", "wild-card")
        assert loaded(daemon) == ["lib", "middle", "top"]
        assert "there is no module \"nothing\"" in daemon.ctl("modprobe", "nothing", status=1)
        for arguments in ((), ("-r",), ("-r", "top", "x")):
            daemon.ctl("modprobe", *arguments, status=2)


def test_each_module_that_comes_or_goes_is_told_of_by_its_name(place, directory):
    with Daemon(directory, "a=ram:1M") as daemon, ControlClient(daemon) as watcher:
        watcher.result("watch", events=True)

        def told(*expected):
            events = [watcher.receive()["event"] for _ in expected]
            assert [event["event"].removeprefix("module-") + " " + event["name"] for event in events] == list(expected)
            for word, name in (line.split() for line in expected if "loaded" in line):
                assert f"platterd: {name}: {word}\n" in daemon.log()

        daemon.ctl("insmod", os.path.join(place.modules, "lib.so"))
        told("loaded lib")
        daemon.ctl("rmmod", "lib")
        told("unloaded lib")
        # What it needs, and its own name for an alias; not what is there already.
        daemon.ctl("modprobe", "the-top")
        told("loaded lib", "loaded middle", "loaded top")
        daemon.ctl("modprobe", "wild-card")
        daemon.ctl("modprobe", "-r", "the-top")
        told("unloaded top", "unloaded middle", "unloaded lib")
        # Because an export asks for its driver.
        daemon.ctl("export", "add", "m=mem:1M")
        told("loaded mem", "export-added m")
        daemon.ctl("insmod", build(directory, "bad", "static int start(void) { return -EIO; }" + module("bad") + "PLATTER_INIT(start);"), status=1)
        daemon.ctl("rmmod", "mem")
        told("unloaded mem")
        for line in (f"insmod {place.modules}/lib.so", "rmmod lib", "modprobe the-top", "modprobe -r the-top"):
            assert f"platterd: {line} (user {os.geteuid()})\n" in daemon.log()


def test_a_dependency_that_fails_fails_all(place, directory):
    os.unlink(os.path.join(place.modules, "lib.so"))
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "lib.so" in daemon.ctl("modprobe", "top", status=1)
        assert loaded(daemon) == []


def test_a_driver_s_module_is_loaded_when_it_is_asked_for(place, directory):
    with Daemon(directory, "m=mem:1M") as daemon:
        with Wire(daemon).go(b"m") as wire:
            assert wire.write(0, b"x" * 512) == 0 and wire.read(0, 512) == b"x" * 512
            wire.disconnect()
        daemon.ctl("export", "remove", "--drain", "m")
        daemon.ctl("modprobe", "-r", "mem")
        assert loaded(daemon) == []
        daemon.ctl("export", "add", "again=mem:2M")
        assert loaded(daemon) == ["mem"]
        assert "unknown driver \"nothing\"" in daemon.ctl("export", "add", "nothing:1M", status=1)


def test_several_modules_of_one_driver(place, directory):
    """They are loaded in the order of their names, or of the configuration; the first that can be has the driver."""
    for name in ("mem_b", "mem_a"):
        place.add(name, driver().replace(module("mem"), module(name)).replace('"memory"', f'"of {name}"'))
    os.unlink(os.path.join(place.modules, "mem.so"))
    place.depmod()

    def served_by(*names):
        with Daemon(directory, "m=mem:1M") as daemon:
            assert loaded(daemon) == list(names)
            assert daemon.ctl_json("lsblk")["disks"][0]["description"] == "of " + names[0]
            return daemon.log()

    assert "mem_b: its init failed: Device or resource busy" in served_by("mem_a")
    place.configure("alias driver:mem mem-b\nalias driver:mem mem-a\n")
    assert "mem_a: its init failed: Device or resource busy" in served_by("mem_b")
    place.configure("alias driver:mem mem-b\n")
    assert "mem_a" not in served_by("mem_b")
    place.configure("blacklist mem_a\n")
    assert "mem_a" not in served_by("mem_b")
    place.configure("")
    os.unlink(os.path.join(place.modules, "mem_a.so"))
    assert "mem_a.so: No such file" in served_by("mem_b")


def test_the_configuration(place, directory):
    place.add("parm", 'static char *text = (char *)"none"; PLATTER_PARAM(text, charp, 0444, "x");\n' + hello("parm"))
    place.add("soft", hello("soft", "soft") + 'PLATTER_SOFTDEP("lib");')
    place.depmod()
    place.configure('# ours\nalias nickname parm\noptions parm text="two words"\nload soft\nblacklist mem\n')
    with Daemon(directory, "a=ram:1M") as daemon:
        assert loaded(daemon) == ["lib", "soft"]
        daemon.ctl("modprobe", "nickname")
        assert daemon.ctl("param", "parm", "text") == "two words\n"
        daemon.ctl("rmmod", "parm")
        daemon.ctl("modprobe", "parm", "text=mine")
        assert daemon.ctl("param", "parm", "text") == "mine\n"
        # Blacklisted: no alias leads there; its own name still does.
        assert "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)
        daemon.ctl("modprobe", "mem")
        daemon.ctl("export", "add", "m=mem:1M")


def test_a_broken_configuration_is_named(place, directory):
    place.configure("alias a\n", "10.conf")
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "10.conf:1: " in daemon.log()
        assert "10.conf:1: " in daemon.ctl("modprobe", "top", status=1)
        os.unlink(os.path.join(place.conf, "10.conf"))
        daemon.ctl("modprobe", "top")


def test_modinfo_reads_files_without_a_server(place):
    path = place.add("parm", 'static int n[2]; static unsigned int count; PLATTER_PARAM_ARRAY(n, int, count, 0644, "some numbers");\n'
                     'PLATTER_ALIAS("other"); PLATTER_SOFTDEP("lib");\n' + importer("parm", license="GPL"))
    text = subprocess.run([PLATTERCTL, "modinfo", path], capture_output=True, text=True, check=True, timeout=60).stdout
    lines = {line.split(":", 1)[0]: line.split(":", 1)[1].strip() for line in text.splitlines()}
    assert lines["filename"] == path and lines["name"] == "parm" and lines["license"] == "GPL" and lines["abi"] == "3"
    assert lines["parm"] == "n:some numbers (int[])" and lines["alias"] == "other" and lines["softdep"] == "lib"
    assert lines["import"] == "twice version 1"
    found = json.loads(subprocess.run([PLATTERCTL, "--json", "modinfo", path], capture_output=True, text=True, check=True, timeout=60).stdout)
    assert found["params"] == [{"name": "n", "type": "int[]", "permissions": "0644", "description": "some numbers"}]
    assert found["imports"] == [{"name": "twice", "version": "1", "gpl_only": False}]
    for wrong in ("/nowhere.so", "/dev/null", "/etc/passwd", "nothing-of-this-name"):
        done = subprocess.run([PLATTERCTL, "modinfo", wrong], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_modinfo_of_a_loaded_module(place, directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("modprobe", "lib")
        assert f"filename:       {place.modules}/lib.so\n" in daemon.ctl("modinfo", "lib")
        assert "export:         twice version 1\n" in daemon.ctl("modinfo", "lib")


def test_modinfo_finds_what_modprobe_would_load(place, directory):
    place.configure("alias nickname middle\nalias both lib\nalias both mem\nblacklist top\n")
    place.add("my_module", hello("my_module"))
    place.depmod()
    with Daemon(directory, "a=ram:1M") as daemon:
        def files(name):
            return re.findall(r"^filename: +(.*)$", daemon.ctl("modinfo", name), re.M)

        for name, *modules in (("lib", "lib"), ("top", "top"), ("nickname", "middle"), ("driver:mem", "mem"), ("both", "lib", "mem"),
                               ("my-module", "my_module")):
            assert files(name) == [f"{place.modules}/{module}.so" for module in modules]
        assert [daemon.ctl_json("modinfo", name)["depends"] for name in ("lib", "middle", "top")] == [[], ["lib"], ["middle"]]
        assert "\ndepends:        middle\n" in daemon.ctl("modinfo", "top") and "\ndepends:        \n" in daemon.ctl("modinfo", "lib")
        # An alias of a blacklisted module leads nowhere, and a name of nothing neither.
        for name in ("the-top", "nothing"):
            assert daemon.ctl("modinfo", name, status=1) == (
                f'platterctl: error: there is no module "{name}" in {place.modules}; after a new one came, run platterctl depmod\n')
        # The one that is loaded comes first; nobody knows what it depends on, where no index is.
        daemon.ctl("insmod", os.path.join(place.modules, "lib.so"))
        daemon.ctl("insmod", build(directory, "user", importer()))
        assert files("user") == [directory + "/user.so"] and daemon.ctl_json("modinfo", "user")["depends"] is None
        assert "depends:" not in daemon.ctl("modinfo", "user")
        os.unlink(os.path.join(place.modules, "modules.dep"))
        assert files("top") == [place.modules + "/top.so"]
        assert f"{place.modules}/nothing.so: No such file" in daemon.ctl("modinfo", "nothing", status=1)
        with ControlClient(daemon) as client:
            found = client.result("version")
            assert (found["modules"], found["module_conf"]) == (place.modules, place.conf)


def test_a_module_may_taint_by_its_alias_too(place, directory):
    place.add("dark", module("dark", "Proprietary") + 'PLATTER_ALIAS("driver:dark");')
    place.depmod()
    with Daemon(directory, "a=ram:1M") as daemon:
        # It is loaded for the driver that its alias promises and that it hasn't got.
        assert "registers none" in daemon.ctl("export", "add", "dark:1M", status=1)
        assert loaded(daemon) == ["dark"] and "taints" in daemon.log()


def test_why_a_driver_s_module_cannot_be_loaded_is_said(place, directory):
    place.configure("options mem size=1\n")
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "unknown parameter 'size'" in daemon.ctl("export", "add", "m=mem:1M", status=1)
        place.configure("optons mem\n")
        assert "optons" in daemon.ctl("export", "add", "m=mem:1M", status=1)


def test_who_asks_while_it_is_loaded_waits_for_it(place, directory):
    place.add("late", "#include <time.h>\n" + driver("late").replace(
        "static int start(void) {", "static int start(void) { struct timespec t = { 1 }; nanosleep(&t, NULL);"))
    place.depmod()
    with Daemon(directory, "a=ram:1M") as daemon:
        adders = [subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "export", "add", f"m{i}=late:1M"], stdout=subprocess.DEVNULL)
                  for i in range(3)]
        assert [adder.wait(60) for adder in adders] == [0, 0, 0]


def test_removing_spares_what_has_disks(place, directory):
    place.add("both", driver("both", more='#define twice_VERSION "1"\ntypedef int twice_FN(int);\nPLATTER_EXPORT_SYMBOL(twice);\n'
                             "int twice(int a) { return 2 * a; }\n"))
    os.unlink(os.path.join(place.modules, "lib.so"))
    place.add("one", importer("one"))
    place.depmod()
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("modprobe", "one")
        daemon.ctl("export", "add", "kept=both:1M")
        daemon.ctl("modprobe", "-r", "one")
        assert loaded(daemon) == ["both"] and "kept" in daemon.ctl("exports")


def test_threads_of_modules_leave_the_signals_to_the_daemon(place, directory):
    place.add("busy", "#include <pthread.h>\n#include <unistd.h>\nstatic pthread_t thread; static volatile int stop;\n"
              "static void *work(void *none) { while (!stop) usleep(1000); return none; }\n"
              "static int start(void) { return -pthread_create(&thread, NULL, work, NULL); }\n"
              "static void end(void) { stop = 1; pthread_join(thread, NULL); }\n" + module("busy") + "PLATTER_INIT(start); PLATTER_EXIT(end);")
    place.depmod()
    place.configure("load busy\n")
    with Daemon(directory, "a=ram:1M") as daemon:
        assert loaded(daemon) == ["busy"]
        assert daemon.stop() == 0
