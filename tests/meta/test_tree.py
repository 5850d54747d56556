# SPDX-License-Identifier: BSD-2-Clause
"""What ARCHITECTURE.md and CONTRIBUTING.md promise of the tree."""

import os
import re
import shutil
import subprocess

import pytest

from daemon import PLATTERD, SANITIZED

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whom: a folder's files include only what starts with one of these.
LAYERS = {
    "include/platter": ["platter/"],
    "plugins": ["platter/", "plugins/"],
    "common": ["common/"],
    "server/engine": ["common/", "server/engine/"],
    "server/block": ["platter/", "common/", "server/engine/", "server/block/", "plugins/builtin.h"],
    "server/module": ["platter/", "common/", "server/block/", "server/module/"],
    "server/nbd": ["platter/", "common/", "server/block/", "server/nbd/"],
    "server/net": ["platter/", "common/", "server/engine/", "server/block/", "server/nbd/", "server/net/", "server/reactor.h"],
    "server/host": ["platter/", "common/", "server/engine/", "server/block/", "server/host/", "server/reactor.h"],
    "server/control": ["platter/", "common/", "server/"],
    "client": ["common/", "client/", "server/module/", "server/block/error.h"],
    "bench": ["platter/", "common/", "bench/", "server/block/", "server/engine/", "server/module/", "plugins/builtin.h"],
}
OURS = ("platter/", "common/", "server/", "client/", "plugins/", "bench/", "tests/")


def sources(folder, *endings):
    for path, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = [name for name in folders if not name.startswith((".", "build", "autom4te"))]
        for name in names:
            if name.endswith(endings) and name != "config.h":  # which configure makes
                yield os.path.join(path, name)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("folder", LAYERS)
def test_layers_include_only_what_they_may(folder):
    wrong = []
    for path in sources(folder, ".c", ".h"):
        for name in re.findall(r'#include [<"]([^>"]+)[>"]', read(path)):
            if name.startswith(OURS) and not name.startswith(tuple(LAYERS[folder])):
                wrong.append(f"{os.path.relpath(path, ROOT)} includes {name}")
    assert not wrong


def test_only_the_ring_knows_io_uring():
    users = [path for folder in ("server", "plugins", "common", "include") for path in sources(folder, ".c", ".h")
             if "liburing" in read(path)]
    assert [os.path.relpath(path, ROOT) for path in users] == ["server/engine/ring.c"]


def test_the_daemon_shows_modules_its_interface_and_nothing_else():
    declared = set()
    for path in sources("include/platter", ".h"):
        if not path.endswith("module.h"):
            declared |= set(re.findall(r"^[a-z][^;{}()#]*?\b\*?(platter_\w+)\(", read(path), re.M))
    shown = {name for name in subprocess.run(["nm", "-D", "--defined-only", "--format=posix", PLATTERD], capture_output=True, text=True,
                                             check=True, timeout=60).stdout.split("\n") if name}
    shown = {line.split()[0] for line in shown}
    # What else there is are the C library's own variables, and a sanitizer's runtime.
    ours = {name for name in shown if name.startswith("platter")}
    assert ours == declared
    others = {name for name in shown - ours if "@" not in name}
    if not SANITIZED:
        assert not others, others


@pytest.fixture(params=[(compiler, standard) for compiler in ("gcc", "clang") for standard in ("c99", "c11", "c17", "c++17")], ids=" ".join)
def compiles(request):
    """Tries a file, or a program's text, with an installed compiler; in C++ __COUNTER__ and the attributes are GNU's, and in use for decades."""
    compiler, standard = request.param
    language = "c++" if "++" in standard else "c"
    if not shutil.which("g++" if (compiler, language) == ("gcc", "c++") else compiler):
        pytest.skip(f"{compiler} is not installed for {standard}")

    def compile_it(file, text=None):
        subprocess.run([compiler, "-std=" + standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-fsyntax-only",
                        "-I", os.path.join(ROOT, "include"), "-x", language, file], input=text, text=True, check=True, timeout=60)

    return compile_it


def test_public_headers_stand_alone_in_every_standard(compiles):
    for path in sources("include/platter", ".h"):
        compiles("-", f"#include <{os.path.relpath(path, os.path.join(ROOT, 'include'))}>\n")


def test_a_module_compiles_in_every_standard(compiles):
    compiles(os.path.join(ROOT, "tests/meta/module_example.c"))


def test_every_file_names_its_license():
    missing = [os.path.relpath(path, ROOT) for path in sources("", ".c", ".h", ".py", ".sh", ".mk", ".am", ".ac")
               if "SPDX-License-Identifier: BSD-2-Clause" not in read(path)[:300]]
    assert not missing


def test_no_file_is_too_long():
    long = {os.path.relpath(path, ROOT): count for path in sources("", ".c", ".h", ".py", ".sh")
            if (count := read(path).count("\n")) > 600}
    assert not long


def test_manual_and_help_name_the_same_options():
    help_text = subprocess.run([PLATTERD, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    manual = read(os.path.join(ROOT, "man/platterd.8"))
    in_help = set(re.findall(r"--([a-z][a-z-]+)", help_text))
    in_manual = set(re.findall(r"Fl -([a-z][a-z-]+)", manual))
    # Long names that help shows beside the short ones, too.
    assert in_help == in_manual
    for key in re.findall(r"^  ([a-z-]+) {2,}", help_text, re.M):
        assert re.search(rf"\.It Cm {key}\b", manual), f"the manual lacks the key {key}"
