# SPDX-License-Identifier: BSD-2-Clause
"""What ARCHITECTURE.md and CONTRIBUTING.md promise of the tree."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from daemon import PLATTER, PLATTERD, SANITIZED

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

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


# ARCHITECTURE.md's table: a folder or file, and what its files include of ours; those of the folder itself they always may.
LAYERS = {name: OURS if allowed == "anything" else (*re.findall(r"`(.+?)`", allowed), name[:name.rindex("/") + 1])
          for name, allowed in re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|$", read(os.path.join(ROOT, "ARCHITECTURE.md")), re.M)}


def layer_of(path):
    """The row that says the most about a file."""
    rows = [name for name in LAYERS if path.startswith(name) or pathlib.PurePath(path).match(name)]
    return max(rows, key=len) if rows else None


def test_every_file_includes_only_what_its_layer_may():
    wrong, seen = [], set()
    for path in sources("", ".c", ".h"):
        path = os.path.relpath(path, ROOT)
        layer = layer_of(path)
        seen.add(layer)
        for name in re.findall(r'#include [<"]([^>"]+)[>"]', read(os.path.join(ROOT, path))):
            if name.startswith(OURS) and not name.startswith(LAYERS.get(layer, ())):
                wrong.append(f"{path} includes {name}")
    assert not wrong
    # Neither a file without a row nor a row without files.
    assert seen == set(LAYERS)


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
    # What else there is are the C library's own variables, the one of inih that is set, and a sanitizer's runtime.
    ours = {name for name in shown if name.startswith("platter")}
    assert ours == declared
    others = {name for name in shown - ours if "@" not in name} - {"ini_max_line"}
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
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "--full-name"], capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode or "tests/meta/test_tree.py" not in listed.stdout.split("\n"):
        pytest.skip(f"what is ours and what was made only a checkout tells: {listed.stderr.strip()}")
    missing = [path for path in listed.stdout.splitlines()
               if not path.endswith((".md", "LICENSE", ".gitignore")) and not path.startswith("tests/fuzz/corpus/") and os.path.exists(os.path.join(ROOT, path))
               and "SPDX-License-Identifier: BSD-2-Clause" not in read(os.path.join(ROOT, path))[:300]]
    assert not missing


def test_no_file_is_too_long():
    long = {os.path.relpath(path, ROOT): count for path in sources("", ".c", ".h", ".py", ".sh")
            if (count := read(path).count("\n")) > 600}
    assert not long


def help_of(program):
    return subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("program, page", [(PLATTERD, "platterd.8"), (PLATTER, "platter.8")], ids=["platterd", "platter"])
def test_manual_and_help_name_the_same_options(program, page):
    in_help = set(re.findall(r"--([a-z][a-z-]+)", help_of(program)))
    in_manual = set(re.findall(r"Fl -([a-z][a-z-]+)", read(os.path.join(ROOT, "man", page))))
    # Long names that help shows beside the short ones, too.
    assert in_help == in_manual


def test_the_manual_has_the_keys_of_the_help():
    manual = read(os.path.join(ROOT, "man/platterd.8"))
    for key in re.findall(r"^  ([a-z-]+) {2,}", help_of(PLATTERD), re.M):
        assert re.search(rf"\.It Cm {key}\b", manual), f"the manual lacks the key {key}"


def test_the_manual_has_the_verbs_and_statuses_of_platter():
    manual, text = read(os.path.join(ROOT, "man/platter.8")), help_of(PLATTER)
    verbs = re.findall(r"^  ([a-z-]+) .*  \S", text, re.M)
    assert "attach" in verbs and sorted(re.findall(r"^\.It Cm ([a-z-]+)", manual, re.M)) == sorted(verbs)
    statuses = dict(re.findall(r"^\tSTATUS_(\w+) = (\d+),", read(os.path.join(ROOT, "client/platter/problem.h")), re.M))
    assert re.findall(r"^\.It (\d+)$", manual, re.M) == list(statuses.values())
    assert re.findall(r"\b\d+\b", text[text.index("Exit status:"):]) == list(statuses.values())


def test_troubles_begin_with_what_platter_says():
    """The messages that platter-troubleshooting(7) explains, but for those of others."""
    texts = "".join(read(path) for path in sources("client/platter", ".c")).replace('\\"', "")
    said = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r'"\s+"', "", texts)))
    page = read(os.path.join(ROOT, "man/platter-troubleshooting.7"))
    ours = page[page.index(".Sh IT CAN'T BE ATTACHED"):page.index(".Sh WHAT THE KERNEL SAYS")]
    others = {"Connection refused", "Connection timed out", "Name or service not known", "Temporary failure in name resolution",
              # OpenSSL's.
              "self-signed certificate", "unable to get local issuer certificate", "hostname mismatch", "IP address mismatch",
              "certificate has expired", "certificate is not yet valid", "tlsv13 alert certificate required", "tlsv1 alert unknown ca"}
    explained = {message for line in re.findall(r"^\.It Sy (\".*)", ours, re.M) for message in re.findall(r'"([^"]+)"', line)}
    assert len(explained) > 25 and others <= explained
    assert [message for message in explained - others if message not in said] == []
