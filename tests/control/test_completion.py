# SPDX-License-Identifier: BSD-2-Clause
"""scripts/platterctl.bash: what bash offers, mostly with a platterctl that only pretends."""

import functools
import os
import shlex
import subprocess

import pytest

from daemon import PLATTERCTL, Daemon
from modules_support import build, hello

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts/platterctl.bash")

# Prints what it was asked for, as platterctl does; any other socket than the one is of no server.
PRETENDER = r"""#!/bin/sh
listing() {
	printf '{\n  "list": [\n'
	printf '    {\n      "name": "%s",\n      "driver": "ram"\n    },\n' "$@"
	printf '    {\n      "driver": "ram",\n      "name": "zz"\n    }\n  ]\n}\n'
}
case $1 in
--socket) [ "$2" = /one.sock ] || exit 3; shift 2 ;;
--socket=*) [ "$1" = --socket=/one.sock ] || exit 3; shift ;;
esac
case "$*" in
--help) printf '  %s  help\n' lsblk devices 'export add SPEC...' 'export remove NAME...' 'export resize NAME SIZE' \
	'ioctl DISK' 'insmod FILE' 'rmmod NAME' 'param MODULE' 'stats [DISK]' ;;
"--json lsblk") listing vm1 'a disk' ;;
"--json exports") listing vm:1 'say \"é\"' ;;
devices) printf 'Block devices:\n252 ram\n254 file\n' ;;
lsmod) printf 'Module Size Used by\nhello 20480 0\nstack 8192 1 linear\n' ;;
"--json version") printf '{\n  "version": "0.1.0",\n  "modules": "%s",\n  "module_conf": "/x"\n}\n' "$PWD/the modules" ;;
"modinfo hello" | "modinfo ./hello.so" | "modinfo lib") printf 'name:           hello\nparm:           whom:whom: to greet (charp)\nparm:           when_2:x (int)\n' ;;
"param hello") printf 'whom=world\nwhen=now\n' ;;
"queue vm1") printf 'ATTRIBUTE VALUE\nscheduler [none] merge\nnr_requests 256\n' ;;
"ioctl vm1") printf 'COMMAND ARGUMENTS HELP\neject takes it out\nload [PATH] puts it in\n' ;;
*) exit 1 ;;
esac
"""


def complete(directory, *words, breaks="=:"):
    """What is offered behind a command line; bash takes it apart where it does in a terminal."""
    script = f"""
        set -u
        COMP_WORDBREAKS={shlex.quote(breaks)}
        . {shlex.quote(SCRIPT)}
        COMP_WORDS=(platterctl {" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words)}
        _platterctl platterctl
        ((${{#COMPREPLY[@]}} == 0)) || printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60,
                          check=True, env={**os.environ, "PATH": directory + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    return sorted(done.stdout.splitlines())


@pytest.fixture
def offered(directory):
    """complete(), in a directory with files and a platterctl that pretends."""
    with open(os.path.join(directory, "platterctl"), "w", encoding="utf-8") as file:
        file.write(PRETENDER)
    os.chmod(os.path.join(directory, "platterctl"), 0o755)
    for name in ("hello.so", "hello.c", "has space.so"):
        with open(os.path.join(directory, name), "w", encoding="utf-8"):
            pass
    os.mkdir(os.path.join(directory, "folder"))
    os.mkdir(os.path.join(directory, "the modules"))
    with open(os.path.join(directory, "the modules/modules.dep"), "w", encoding="utf-8") as file:
        file.write("hello.so:\nlib_2.so:\nsub/deep/linear.so: lib_2.so sub/other.so\nsub/other.so:\n")

    return functools.partial(complete, directory)


def test_verbs_are_those_of_the_help(offered):
    assert offered("") == ["devices", "export", "insmod", "ioctl", "lsblk", "param", "rmmod", "stats"]
    assert offered("i") == ["insmod", "ioctl"]
    assert offered("export", "") == ["add", "remove", "resize"]
    assert offered("export", "re") == ["remove", "resize"]
    assert offered("nonsense", "") == []


def test_names_are_the_servers(offered):
    assert offered("ioctl", "") == ["a\\ disk", "vm1", "zz"]
    assert offered("ioctl", "a\\ d") == ["a\\ disk"]
    assert offered("export", "resize", "v") == ["vm1"]
    assert offered("stats", "v") == ["vm1"]
    assert offered("ioctl", "vm1", "") == ["eject", "load"]
    assert offered("queue", "") == ["a\\ disk", "vm1", "zz"]
    assert offered("queue", "vm1", "s") == ["scheduler"]
    assert offered("clear-error", "v") == ["vm1"]
    assert offered("export", "remove", "--drain", "s") == ['say\\ \\"é\\"']
    assert offered("rmmod", "hello", "s") == ["stack"]
    assert offered("param", "hello", "w") == ["when", "whom"]


def test_a_name_with_a_colon_goes_on_where_bash_took_it_apart(offered):
    assert offered("export", "remove", "vm", ":") == ["1"]
    assert offered("export", "remove", "vm", ":", "1", "v") == ["vm:1"]
    assert offered("export", "remove", "vm:", breaks="") == ["vm:1"]
    assert offered("export", "remove", "v") == ["vm:1"]


def test_exports_to_add(offered):
    assert offered("export", "add", "") == ["disk:", "file:", "ram:"]
    assert offered("export", "add", "x", "=", "r") == ["ram:"]
    assert offered("export", "add", "x", "=", "disk", ":", "vm") == ["vm1"]
    assert offered("export", "add", "x", "=", "./fo") == ["./folder"]
    assert offered("export", "add", "x=./fo", breaks="") == ["./folder"]


def test_files(offered):
    assert offered("insmod", "") == ["folder", "has space.so", "hello.so", "the modules"]
    assert offered("--socket", "fo") == ["folder"]
    assert offered("--socket", "=", "hello.c") == ["hello.c"]


def test_modules_that_are_loaded_or_in_the_server_s_directory(offered, directory):
    everything = ["hello", "lib_2", "linear", "other", "stack"]
    assert offered("modprobe", "") == everything and offered("modprobe", "-r", "l") == ["lib_2", "linear"]
    assert offered("modinfo", "li") == ["lib_2", "linear"] and offered("modinfo", "hel") == ["hello", "hello.so"]
    os.unlink(os.path.join(directory, "the modules/modules.dep"))
    assert offered("modprobe", "") == ["hello", "stack"]


def test_parameters_of_modules_that_are_to_be_loaded(offered):
    for words in (("insmod", "./hello.so"), ("modprobe", "hello"), ("modprobe", "hello", "when_2", "=", "1")):
        assert offered(*words, "w") == ["when_2=", "whom="]
    assert offered("modprobe", "hello", "whom", "=") == offered("modprobe", "hello", "whom", "=", "w") == []
    assert offered("modprobe", "unknown", "") == []


def test_options_and_the_server_that_they_name(offered):
    assert offered("--s") == ["--socket="]
    assert offered("rmmod", "--d") == ["--drain"]
    assert offered("dmesg", "--l") == ["--level="]
    assert offered("dmesg", "-T", "-l", "n") == ["notice"]
    assert offered("iostat", "-x") == ["-x"]
    assert offered("--socket", "/one.sock", "ioctl", "v") == ["vm1"]
    assert offered("--socket", "=", "/one.sock", "ioctl", "v") == ["vm1"]
    assert offered("--json", "--socket", "=", "/other.sock", "ioctl", "v") == []


def test_modprobe_with_a_server(directory):
    modules = os.path.join(directory, "modules")
    os.mkdir(modules)
    os.symlink(os.path.abspath(PLATTERCTL), os.path.join(directory, "platterctl"))
    build(modules, "greeter", 'static int times; PLATTER_PARAM(times, int, 0444, "how often: a number");\n' + hello("greeter"))
    with Daemon(directory, "a=ram:1M") as daemon:
        server = ("--socket", "=", daemon.control)
        assert complete(directory, *server, "modprobe", "") == []
        subprocess.run([PLATTERCTL, "depmod", modules], check=True, timeout=60)
        assert complete(directory, *server, "modprobe", "") == complete(directory, *server, "modinfo", "gr") == ["greeter"]
        assert complete(directory, *server, "modprobe", "greeter", "") == ["times="]
        assert complete(directory, *server, "insmod", modules + "/greeter.so", "t") == ["times="]
        version = dict(line.split(maxsplit=1) for line in daemon.ctl("version").splitlines())
        assert (version["modules:"], version["pid:"]) == (modules, str(daemon.pid))
