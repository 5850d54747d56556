# SPDX-License-Identifier: BSD-2-Clause
"""Libraries that come into the daemon with a module, as far as they are not the system's."""

import os

import pytest

from daemon import Daemon
from modules_support import build, hello, importer


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:1M") as running:
        yield running


class Library:
    """A library that leaves a trace when it is loaded, and a module that calls it."""

    def __init__(self, daemon, directory):
        self.daemon, self.directory, self.trace = daemon, directory, os.path.join(directory, "ran")
        self.folder = os.path.join(directory, "lib")
        os.mkdir(self.folder)
        self.path = self.build("libtheirs")

    def build(self, name, more="", *flags):
        return build(self.folder, name, f'''#include <fcntl.h>
            #include <unistd.h>
            __attribute__((visibility("default"))) int {name}(void) {{ return 1; }} {more}
            __attribute__((constructor)) static void run(void) {{ close(open("{self.trace}", O_CREAT | O_WRONLY, 0600)); }}''', *flags)

    def module(self, *flags, function="libtheirs"):
        source = f"int {function}(void); int use(void) {{ return {function}(); }}\n" + hello("user")
        return build(self.directory, "user", source, "-Wl,--no-as-needed", *flags)

    def refused(self, path):
        said = self.daemon.ctl("insmod", path, status=1)
        assert len(said.splitlines()) == 1 and self.daemon.ctl_json("lsmod")["modules"] == []
        assert not os.path.exists(self.trace) and "hello" not in self.daemon.log()
        return said


@pytest.mark.parametrize("flags", [("-Wl,-rpath,{0}",), ("-Wl,--disable-new-dtags,-rpath,{0}",), ("-Wl,-rpath,$ORIGIN/lib",), ("-Wl,-rpath,",)])
def test_a_module_brings_no_search_path_for_libraries(daemon, directory, flags):
    library = Library(daemon, directory)
    flags = [flag.format(library.folder) for flag in flags]
    said = library.refused(library.module("-L", library.folder, "-l:libtheirs.so", *flags))
    assert "user.so: looks for libraries in a path of its own (" in said and "-rpath" in said


def test_a_library_that_a_module_needs_by_its_path_is_trusted_like_a_module(daemon, directory):
    library = Library(daemon, directory)
    path = library.module(library.path)
    os.chmod(library.path, 0o666)
    assert "user.so: needs a library that can't be used: " + library.path + ": others than its owner may write it" in library.refused(path)
    if os.geteuid() == 0:
        os.chmod(library.path, 0o644)
        os.chown(library.path, 12345, 12345)
        assert "belongs to the user 12345" in library.refused(path)
        os.chown(library.path, 0, 0)
    # Others may do with the directory what they like.
    os.chmod(library.path, 0o644)
    os.chmod(library.folder, 0o777)
    assert "everybody may replace what is in this directory" in library.refused(path)
    os.chmod(library.folder, 0o755)
    os.rename(library.path, library.path + ".moved")
    assert library.path + ": cannot open shared object file: No such file" in library.refused(path)
    os.rename(library.path + ".moved", library.path)
    # So for what it needs itself.
    wants = "int libtheirs(void); int call(void) { return libtheirs(); }"
    outer = library.build("libouter", wants, "-Wl,--no-as-needed", library.path)
    nested = library.module(outer, "-Wl,--allow-shlib-undefined", function="libouter")
    os.chmod(library.path, 0o666)
    assert library.path + ": others than its owner" in library.refused(nested)
    os.chmod(library.path, 0o644)
    library.build("libouter", wants, "-Wl,--no-as-needed", "-L", library.folder, "-l:libtheirs.so", "-Wl,-rpath," + library.folder)
    assert outer + ": looks for libraries in a path of its own" in library.refused(nested)
    library.build("libouter", wants, "-Wl,--no-as-needed", library.path)
    library.module(outer, "-Wl,--allow-shlib-undefined", function="libouter")
    daemon.ctl("insmod", nested)
    assert os.path.exists(library.trace)


@pytest.mark.parametrize("name", ["./lib/libnear.so", "${LIB}near.so", "/${LIB}/libnear.so"])
def test_a_library_whose_path_depends_on_something_is_refused(daemon, directory, name):
    library = Library(daemon, directory)
    library.build("libnear", "", "-Wl,-soname," + name)
    said = library.refused(library.module(os.path.join(library.folder, "libnear.so"), function="libnear"))
    assert f"needs the library {name}, whose path depends on" in said


def mapped(daemon, name):
    with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as maps:
        return name in maps.read()


@pytest.mark.parametrize("others", [(), ("twice", "platter_foo")])
def test_symbols_that_a_library_lacks_are_named_and_it_does_not_run(daemon, directory, others):
    """All of them, together with another module's and the daemon's."""
    library = Library(daemon, directory)
    nobodys = [f"a_function_that_nobody_has_{i}" for i in range(100)]
    source = "".join(f"void {name}(void); void call_{name}(void) {{ {name}(); }}\n" for name in nobodys)
    if others:
        source += importer() + "void platter_foo(void); void foo(void) { platter_foo(); }\n"
    else:
        source += hello("user")
    source += "int libtheirs(void); int use(void) { return libtheirs(); }\n"
    said = library.refused(build(directory, "user", source, "-Wl,--no-as-needed", library.path))
    start, names = said.strip().split(" Unknown symbol ")
    assert start == "platterctl: error: user:" and sorted(names.split(", ")) == sorted(f"{name} (err -2)" for name in [*nobodys, *others])
    lines = [line.split("Unknown symbol ")[1] for line in daemon.log().splitlines() if "user: Unknown symbol" in line]
    assert len(lines) > 1 and ", ".join(lines) == names
    assert not mapped(daemon, "libtheirs") and not mapped(daemon, "user.so")


def test_a_library_runs_and_goes_with_its_module(daemon, directory):
    library = Library(daemon, directory)
    daemon.ctl("insmod", library.module(library.path))
    assert os.path.exists(library.trace) and mapped(daemon, "libtheirs")
    daemon.ctl("rmmod", "user")
    assert not mapped(daemon, "libtheirs")


def test_a_library_of_the_system_that_is_missing_is_named(daemon, directory):
    library = Library(daemon, directory)
    library.build("libabsent", "", "-Wl,-soname,libabsent-of-the-tests.so")
    said = library.refused(library.module(os.path.join(library.folder, "libabsent.so"), function="libabsent"))
    assert "user: libabsent-of-the-tests.so: cannot open shared object file" in said
