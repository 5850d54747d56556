# SPDX-License-Identifier: BSD-2-Clause
"""platter-module(3): its programs are built and run as they stand there, and it tells of everything."""

import os
import re
import subprocess

import pytest

from daemon import Daemon
from modules_support import CC, LISTINGS, MANUAL, ROOT, manual_program
from wire_client import Wire


def build(directory, name):
    for header in (text for text in LISTINGS if text.startswith("/* calc.h */")):
        with open(os.path.join(directory, "calc.h"), "w", encoding="utf-8") as out:
            out.write(header)
    path = os.path.join(directory, name + ".so")
    subprocess.run([*CC, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-fvisibility=hidden", "-shared",
                    "-I", os.path.join(ROOT, "include"), "-I", directory, "-x", "c", "-", "-o", path],
                   input=manual_program(name), text=True, check=True, timeout=60)
    os.chmod(path, 0o644)
    return path


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:1M") as running:
        yield running


def test_hello_is_the_one_in_plugins(daemon, directory):
    with open(os.path.join(ROOT, "plugins/hello/hello.c"), encoding="utf-8") as source:
        assert manual_program("hello") == source.read()
    assert manual_program("hello").count("\n") < 25
    daemon.ctl("insmod", build(directory, "hello"), "whom=moon")
    assert "platterd: hello: Hello, moon!\n" in daemon.log()
    daemon.ctl("param", "hello", "whom", "sun")
    daemon.ctl("rmmod", "hello")
    assert "platterd: hello: Goodbye, sun!\n" in daemon.log()


def test_the_driver_serves_disks(daemon, directory):
    daemon.ctl("insmod", build(directory, "mem"))
    daemon.ctl("export", "add", "scratch=mem:64M")
    with Wire(daemon).go(b"scratch") as wire:
        assert wire.write(5000, b"something") == 0
        assert wire.read(4999, 11) == b"\0something\0"
        assert "scratch is in use" in daemon.ctl("rmmod", "mem", status=1)
        wire.disconnect()


def test_one_module_calls_another(daemon, directory):
    paths = [build(directory, name) for name in ("calc", "sum")]
    assert "Unknown symbol calc_add" in daemon.ctl("insmod", paths[1], status=1)
    for path in paths:
        daemon.ctl("insmod", path)
    assert "platterd: sum: 3\n" in daemon.log()
    assert "in use by" in daemon.ctl("rmmod", "calc", status=1)


def test_it_tells_of_all_that_the_headers_declare():
    missing, seen = set(), 0
    for name in ("disk", "driver", "host", "lower", "module", "stack"):
        with open(os.path.join(ROOT, f"include/platter/{name}.h"), encoding="utf-8") as header:
            text = re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)
        functions = set(re.findall(r"^[a-z].*?\b(platter_\w+)\(", text, re.M)) - {"platter_module_init", "platter_module_exit"}
        functions |= set(re.findall(r"\b(stack_\w+)_FN\(", text))
        structures = set(re.findall(r"^struct (platter_\w+) \{", text, re.M))
        constants = set(re.findall(r"\b((?!\w+_H\b)PLATTER_(?:OP|REQ|DISK|EVENT|KEY|FD|LOG|TYPE)_[A-Za-z_]+)\b", text))
        macros = {found for found in re.findall(r"^#define (PLATTER_[A-Z_]+[A-Z])\b", text, re.M) if not found.endswith("_H")}
        members = set()
        for body in re.findall(r"^struct platter_(?:request|geometry|disk_ops|driver|key|command|fd_io|timer|lower_io) \{\n(.*?)^\}", text,
                               re.M | re.S):
            members |= set(re.findall(r"(\w+)(?:\[\w+\])?(?: __attribute__.*)?;", body)) | set(re.findall(r"\(\*(\w+)\)", body))
        words = functions | structures | macros | members | {found for found in constants if "_TYPE_" not in found}
        words |= {found.removeprefix("PLATTER_TYPE_") for found in constants if "_TYPE_" in found}
        seen += len(words)
        missing |= {word for word in words if not re.search(rf"(?<!\w){word}(?!\w)", MANUAL)}
    assert not missing and seen > 100
