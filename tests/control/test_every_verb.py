# SPDX-License-Identifier: BSD-2-Clause
"""Every verb of platterctl with --json: one object, and in it what the verb is for."""

import json
import os
import re
import subprocess

import pytest

from daemon import PLATTERCTL, Daemon
from modules_support import build, exporter, hello, importer
from wire_client import Wire

MIB = 1 << 20
PARAMETER = 'static int speed = 7; PLATTER_PARAM(speed, int, 0644, "how fast");\n'


@pytest.fixture
def daemon(directory):
    """Two disks, one with commands of its driver's own, and modules to load: user imports from lib."""
    modules = os.path.join(directory, "modules")
    os.mkdir(modules)
    build(modules, "parm", PARAMETER + hello("parm"))
    build(modules, "lib", exporter())
    build(modules, "user", importer())
    subprocess.run([PLATTERCTL, "depmod", modules], check=True, timeout=60)
    with open(os.path.join(directory, "disc"), "wb") as image:
        image.truncate(MIB)
    with Daemon(directory, "a=ram:1M", f"cd={directory}/disc,removable=on") as running:
        running.ctl("modprobe", "parm")
        yield running


def loaded(daemon):
    return {one["name"] for one in daemon.ctl_json("lsmod")["modules"]}


def names(answer, key):
    return [one["name"] for one in answer[key]]


def lsblk(daemon):
    disk = daemon.ctl_json("lsblk")["disks"][0]
    assert (disk["name"], disk["size"], disk["driver"], disk["parents"]) == ("a", MIB, "ram", [])


def devices(daemon):
    assert daemon.ctl_json("devices")["devices"][-1] == {"major": 254, "name": "file"}


def exports(daemon):
    export = daemon.ctl_json("exports")["exports"][0]
    assert (export["name"], export["disk"], export["clients"], export["read_only"]) == ("a", "a", 0, False)


def clients(daemon):
    with Wire(daemon).go(b"a"):
        assert daemon.ctl_json("clients")["clients"][0]["export"] == "a"


def export_add(daemon):
    assert daemon.ctl_json("export", "add", "b=ram:2M") == {"name": "b"}
    assert daemon.ctl_json("export", "add", "c=ram:2M,export=off") == {"name": None}
    assert names(daemon.ctl_json("lsblk"), "disks") == ["a", "cd", "b", "c"]


def export_remove(daemon):
    assert daemon.ctl_json("export", "remove", "--drain", "a") == {}
    assert names(daemon.ctl_json("exports"), "exports") == ["cd"]


def export_resize(daemon):
    assert daemon.ctl_json("export", "resize", "a", "3M") == {"size": 3 * MIB}


def check(daemon):
    assert daemon.ctl_json("check", "a") == {"size": MIB, "resized": False, "media_changed": False}


def ioctl(daemon):
    assert {"eject", "load"} <= set(names(daemon.ctl_json("ioctl", "cd"), "commands"))
    assert set(daemon.ctl_json("ioctl", "cd", "eject")) == {"text"}
    with Wire(daemon) as wire, pytest.raises(AssertionError):
        wire.go(b"cd")
    assert set(daemon.ctl_json("ioctl", "cd", "load")) == {"text"}
    with Wire(daemon).go(b"cd") as wire:
        assert wire.size == MIB


def lsmod(daemon):
    module = daemon.ctl_json("lsmod")["modules"][0]
    assert (module["name"], module["users"], module["used_by"], module["state"]) == ("parm", 0, [], "Live")


def insmod(daemon):
    assert daemon.ctl_json("insmod", os.path.join(daemon.directory, "modules/lib.so")) == {}
    assert loaded(daemon) == {"parm", "lib"}


def rmmod(daemon):
    assert daemon.ctl_json("rmmod", "parm") == {}
    assert loaded(daemon) == set()


def modprobe(daemon):
    assert daemon.ctl_json("modprobe", "user") == {}
    assert loaded(daemon) == {"parm", "lib", "user"}


def modprobe_r(daemon):
    daemon.ctl("modprobe", "user")
    assert daemon.ctl_json("modprobe", "-r", "user") == {}
    assert loaded(daemon) == {"parm"}


def modinfo(daemon):
    for what in ("parm", os.path.join(daemon.directory, "modules/parm.so")):
        found = daemon.ctl_json("modinfo", what)
        assert found["name"] == "parm" and names(found, "params") == ["speed"]


def depmod(daemon):
    place = os.path.join(daemon.directory, "modules")
    assert daemon.ctl_json("depmod", place) == {"directory": place, "modules": [
        {"name": "lib", "file": "lib.so", "needs": []}, {"name": "parm", "file": "parm.so", "needs": []},
        {"name": "user", "file": "user.so", "needs": ["lib"]}]}
    # As it was written.
    with open(os.path.join(place, "modules.dep"), encoding="utf-8") as index:
        assert "user.so: lib.so\n" in index.read()


def param(daemon):
    expected = {"params": [{"name": "speed", "value": "7", "writable": True}]}
    assert daemon.ctl_json("param", "parm") == daemon.ctl_json("param", "parm", "speed") == expected
    assert daemon.ctl_json("param", "parm", "speed", "0x10") == {}
    assert daemon.ctl_json("param", "parm")["params"][0]["value"] == "16"


def symbols(daemon):
    daemon.ctl("modprobe", "lib")
    found = {one["name"]: one for one in daemon.ctl_json("symbols")["symbols"]}
    assert (found["twice"]["module"], found["twice"]["type"]) == ("lib", "T") and int(found["twice"]["address"], 16)
    assert found["platter_log"]["module"] is None


def dmesg(daemon):
    messages = daemon.ctl_json("dmesg")["messages"]
    assert any(message["text"].startswith("listening on unix:") for message in messages)


def watch(daemon):
    """An object for each event."""
    with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "--json", "watch"], stdout=subprocess.PIPE, text=True) as watcher:
        line = ""
        while not line:
            # It may not listen yet.
            daemon.ctl("export", "add", "x=ram:1M")
            daemon.ctl("export", "remove", "x")
            line = watcher.stdout.readline()
        assert json.loads(line)["event"] in ("export-added", "export-removed")
        watcher.kill()


def version(daemon):
    answer = daemon.ctl_json("version")
    assert answer["pid"] == daemon.pid and answer["may_change"] is True


def queue(daemon):
    assert daemon.ctl_json("queue", "a")["queue"]["nr_requests"] == 256
    assert daemon.ctl_json("queue", "a", "nr_requests=16") == {}
    assert daemon.ctl_json("queue", "a", "nr_requests") == {"nr_requests": 16}


def clear_error(daemon):
    assert daemon.ctl_json("clear-error", "a") == {"cleared": False}


def mark(daemon):
    assert daemon.ctl_json("mark", "a", "monday") == {}


def marks(daemon):
    mark(daemon)
    one, = daemon.ctl_json("marks")["marks"]
    assert (one["disk"], one["name"], one["dirty"], one["all"]) == ("a", "monday", 0, False)


def unmark(daemon):
    mark(daemon)
    assert daemon.ctl_json("unmark", "a", "monday") == {}


def reload(daemon):
    """This one has no configuration."""
    assert "there is no configuration" in daemon.ctl("reload", status=1)


def reload_tls(daemon):
    """This one has none."""
    assert "TLS isn't used" in daemon.ctl("reload-tls", status=1)


def stats(daemon):
    with Wire(daemon).go(b"a") as wire:
        wire.read(0, 4096)
        disk = daemon.ctl_json("stats", "a")["disks"][0]
        assert disk["name"] == "a"


def iostat(daemon):
    assert {disk["disk"] for disk in daemon.ctl_json("iostat")["disks"]} == {"a", "cd"}


VERBS = {
    "lsblk": lsblk, "devices": devices, "exports": exports, "clients": clients, "export add": export_add,
    "export remove": export_remove, "export resize": export_resize, "check": check, "ioctl": ioctl, "lsmod": lsmod, "insmod": insmod,
    "rmmod": rmmod, "modprobe": modprobe, "modprobe -r": modprobe_r, "modinfo": modinfo, "depmod": depmod, "param": param,
    "symbols": symbols, "dmesg": dmesg, "watch": watch, "version": version, "queue": queue, "clear-error": clear_error,
    "stats": stats, "iostat": iostat, "reload": reload, "reload-tls": reload_tls, "mark": mark, "marks": marks, "unmark": unmark,
}


@pytest.mark.parametrize("verb", VERBS)
def test_with_json_every_verb_says_what_it_did(daemon, verb):
    VERBS[verb](daemon)


def test_no_verb_is_left_out():
    """What --help lists: a verb, and the words behind it that are no arguments."""
    text = subprocess.run([PLATTERCTL, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(re.findall(r"^  ([a-z-]+(?: [a-z]+| -r)?)(?= )", text, re.M)) == set(VERBS)


@pytest.mark.parametrize("arguments", [
    ("export", "add", "a=ram:1M"), ("export", "remove", "none"), ("export", "resize", "none", "1M"), ("check", "none"), ("ioctl", "none"),
    ("queue", "none"), ("queue", "a", "none=1"), ("clear-error", "none"), ("mark", "none", "x"), ("mark", "a", "x:y"), ("unmark", "a", "x"),
    ("ioctl", "a", "none"), ("insmod", "/none.so"), ("rmmod", "none"), ("modprobe", "none"), ("modprobe", "-r", "none"),
    ("modinfo", "/none.so"), ("depmod", "/none"), ("param", "none"), ("param", "parm", "none", "1"),
])
def test_what_is_refused_prints_no_json(daemon, arguments):
    done = subprocess.run([PLATTERCTL, "--socket", daemon.control, "--json", *arguments], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
