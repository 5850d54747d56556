# SPDX-License-Identifier: BSD-2-Clause
"""What is refused is refused before any code of it runs: each of these modules has a constructor that leaves a file."""

import os

import pytest

from daemon import Daemon
from modules_support import build, exporter, hello, importer, module

STRUCTURES = ("request", "geometry", "disk_ops", "driver", "fd_io", "timer", "param", "lower_io")
UNIQUE = '''__asm__(".data\\n.globl one\\n.type one, %gnu_unique_object\\none: .long 1\\n.size one, 4\\n.text\\n");\n'''
RELOCATION = '''__asm__(".pushsection .text.more, \\"ax\\"\\n.dc.a platter_module\\n.popsection\\n");\n'''
BOTH = '''__asm__(".pushsection .both, \\"awx\\"\\n.long 1\\n.popsection\\n");\n'''
MISSING = "void nobody_has_this(void);\nint both(void) { nobody_has_this(); return 0; }\n"


def larger(structure):
    """A later header's, as far as the module says."""
    return (f"struct larger {{ struct platter_{structure} before; char more[64]; }};\n#define platter_{structure} larger\n" + hello("bad"))


# The module's source, flags to build it with, and what the refusal says.
SOURCES = {
    "another abi": ("#undef PLATTER_ABI\n#define PLATTER_ABI 99\n" + hello("bad"), (), "built for ABI version 99"),
    **{f"larger {name}": (larger(name), (), f"built against a later Platter (struct platter_{name}: ") for name in STRUCTURES},
    "nodelete": (hello("bad"), ("-Wl,-z,nodelete",), "DF_1_NODELETE"),
    "executable stack": (hello("bad"), ("-Wl,-z,execstack",), "wants an executable stack"),
    "static tls": ("__thread int local; int use(void) { return local; }\n" + hello("bad"), ("-ftls-model=initial-exec",), "DF_STATIC_TLS"),
    "text relocations": (RELOCATION + hello("bad"), ("-Wl,-z,notext",), "has text relocations"),
    "writable code": (BOTH + hello("bad"), (), "writable and executable"),
    "unique symbols": (UNIQUE + hello("bad"), (), "STB_GNU_UNIQUE"),
    "the host's names": ("int platter_mine = 1;\n__attribute__((visibility(\"default\"))) int platter_yours;\n" + hello("bad"), (),
                         "defines names of the host's"),
    "unknown import": (importer("bad", ("nowhere",)), (), "bad: Unknown symbol nowhere (err -2)"),
    "unknown symbol": (MISSING + hello("bad"), (), "bad: Unknown symbol nobody_has_this (err -2)"),
    "unknown of both kinds": (MISSING + importer("bad", ("nowhere", "neither")), (), "bad: Unknown symbol"),
    "another version": (importer("bad", version="2"), (), "version 2 of the symbol twice"),
    "gpl only": (importer("bad", ("shared",), license="Proprietary"), (), "GPL-compatible modules only"),
    "a second exporter": (exporter("bad"), (), "exports the symbol twice"),
    "another's name": (hello("other"), (), "the file's name must be the module's"),
}


def another_machine(path):
    with open(path, "r+b") as file:
        file.seek(18)  # e_machine
        file.write(bytes([83, 83]))


def open_the_directory(path):
    os.chmod(os.path.dirname(path), 0o777)


# What is done to the file of a good one.
SPOILED = {
    "another machine": (another_machine, "built for another machine"),
    "its group may write it": (lambda path: os.chmod(path, 0o664), "others than its owner may write it"),
    "all may write it": (lambda path: os.chmod(path, 0o646), "others than its owner may write it"),
    "in a directory that all may change": (open_the_directory, "everybody may replace what is in this directory"),
    "somebody else's": (lambda path: os.chown(path, 65534, 65534), "belongs to the user 65534"),
}


@pytest.fixture
def witness(directory):
    """A constructor that leaves a file, and whether it has."""
    path = os.path.join(directory, "witness")
    source = ('#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void early(void) '
              f'{{ close(open("{path}", O_CREAT | O_WRONLY, 0600)); }}\n')
    return source, lambda: os.path.exists(path)


@pytest.fixture
def daemon(directory):
    """With a module that exports what others want to import."""
    shared = exporter(gpl="").replace("PLATTER_MODULE", exporter("x", "shared", gpl="_GPL").split("PLATTER_MODULE")[0] + "PLATTER_MODULE")
    with Daemon(directory, "a=ram:1M") as running:
        running.ctl("insmod", build(directory, "lib", shared))
        yield running


def is_refused(daemon, path, said):
    complaint = daemon.ctl("insmod", path, status=1)
    assert said in complaint and len(complaint.splitlines()) == 1, complaint
    assert [one["name"] for one in daemon.ctl_json("lsmod")["modules"]] == ["lib"]


def place(directory):
    path = os.path.join(directory, "place")
    os.mkdir(path, 0o755)
    return path


@pytest.mark.parametrize("what", SOURCES)
def test_nothing_of_a_module_that_is_refused_runs(daemon, directory, witness, what):
    source, flags, said = SOURCES[what]
    is_refused(daemon, build(place(directory), "bad", witness[0] + source, *flags), said)
    assert not witness[1]()


@pytest.mark.parametrize("what", SPOILED)
def test_nothing_of_a_file_that_is_not_trusted_runs(daemon, directory, witness, what):
    if what == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    spoil, said = SPOILED[what]
    path = build(place(directory), "bad", witness[0] + hello("bad"))
    spoil(path)
    is_refused(daemon, path, said)
    assert not witness[1]()


def test_a_module_that_is_loaded_already_runs_once(daemon, directory, witness):
    path = build(place(directory), "good", witness[0] + hello("good"))
    daemon.ctl("insmod", path)
    assert witness[1]()
    os.unlink(os.path.join(directory, "witness"))
    assert "loaded already" in daemon.ctl("insmod", path, status=1)
    assert not witness[1]()
