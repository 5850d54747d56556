# SPDX-License-Identifier: BSD-2-Clause
"""A module is built with what is installed, far from the source: headers, and the flags that pkg-config tells."""

import os
import re
import shutil
import subprocess

import pytest

from daemon import PLATTERCTL, PLATTERD, Daemon
from modules_support import manual_program
from wire_client import Wire

BUILD = os.path.dirname(os.path.abspath(PLATTERD))


def run(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **keywords)
    assert done.returncode == 0, (command, done)
    return done.stdout


@pytest.fixture
def installed(directory):
    """Where `make install` has put all but the programs; with the environment for pkg-config to find it."""
    if not os.path.exists(os.path.join(BUILD, "Makefile")):
        pytest.skip("PLATTERD is not in a build folder")
    # What a make that runs the tests tells its children isn't for another one.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    root = os.path.join(directory, "root")
    run("make", "-s", "-C", BUILD, "install-data", "DESTDIR=" + root, env=clean)
    found = [path for path, _, names in os.walk(root) if "platter.pc" in names]
    assert len(found) == 1 and os.path.basename(found[0]) == "pkgconfig"
    return root, {**clean, "PKG_CONFIG_SYSROOT_DIR": root, "PKG_CONFIG_LIBDIR": found[0], "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1"}


def build(directory, environment, compiler, name):
    """NAME.so, made of the manual's program in a folder where nothing else is, as the manual has it."""
    folder = os.path.join(directory, "mine")
    os.mkdir(folder)
    with open(os.path.join(folder, name + ".c"), "w", encoding="utf-8") as file:
        file.write(manual_program(name))
    run("sh", "-c", f"{compiler} -Wall -Wextra -Werror {name}.c $(pkg-config --cflags --libs platter) -o {name}.so",
        cwd=folder, env=environment)
    return os.path.join(folder, name + ".so")


def symbols(module, *flags):
    """Those of its dynamic symbols that a linker would see."""
    names = re.findall(r" (?:DEFAULT|PROTECTED) +(\S+) (\S+)$", run("readelf", "-W", "--dyn-syms", module), re.M)
    return {name for where, name in names if (where == "UND") == ("undefined" in flags)}


@pytest.mark.parametrize("compiler", ["cc", "gcc", "clang", "g++ -x c++", "clang++ -x c++"])
def test_the_manuals_module(directory, installed, compiler):
    if not shutil.which(compiler.split()[0]):
        pytest.skip(compiler.split()[0] + " is not installed")
    module = build(directory, installed[1], compiler, "hello")
    assert symbols(module) - {"__bss_start", "_edata", "_end"} == {"platter_module"}
    # C++ hasn't changed the name.
    assert "platter_log" in symbols(module, "undefined")
    sections = run("readelf", "-W", "-S", module)
    assert " .platter.info " in sections and " .platter.abi " in sections
    assert "name=hello" in run("readelf", "-p", ".platter.info", module)
    dynamic = run("readelf", "-W", "-d", module)
    assert "TEXTREL" not in dynamic
    assert re.search(r"FLAGS_1\).*\bNOW\b", dynamic)


def module_folder(root, environment):
    folder = run("pkg-config", "--variable=moduledir", "platter", env=environment).strip()
    # Some versions put the sysroot before variables, too.
    return folder if folder.startswith(root) else root + folder


def test_a_driver_on_the_module_stack(directory, installed):
    """The manual's, which imports from a module that came with the daemon."""
    folder = module_folder(*installed)
    shutil.copy(build(directory, installed[1], "cc", "count"), folder)
    run(PLATTERCTL, "depmod", folder)
    with Daemon(directory, "a=ram:1M", options=["--modules", folder]) as daemon:
        daemon.ctl("modprobe", "count")
        used = {line.split()[0]: line.split()[2:] for line in daemon.ctl("lsmod").splitlines()[1:]}
        assert used == {"stack": ["1", "count"], "count": ["0"]}
        assert "stack is in use by: count" in daemon.ctl("rmmod", "stack", status=1)
        daemon.ctl("export", "add", "counted=count:a")
        with Wire(daemon).go(b"counted") as wire:
            assert wire.write(4096, b"x" * 512) == 0 and wire.write(0, b"y") == 0
            assert wire.read(4095, 2) == b"\0x"
            wire.disconnect()
        assert daemon.ctl("param", "count", "writes") == "2\n"
        daemon.ctl("export", "remove", "--drain", "counted")
        daemon.ctl("modprobe", "-r", "count")
        assert daemon.ctl_json("lsmod")["modules"] == []


def test_what_is_installed_is_loaded(directory, installed):
    """Built with the daemon, with sanitizers if that has them, and found where pkg-config says that modules are."""
    folder = module_folder(*installed)
    run(PLATTERCTL, "depmod", folder)
    with Daemon(directory, "a=ram:1M", options=["--modules", folder]) as daemon:
        daemon.ctl("modprobe", "hello", "whom=everybody")
        assert "hello: Hello, everybody!\n" in daemon.log()
        daemon.ctl("rmmod", "hello")
        assert "hello: Goodbye, everybody!\n" in daemon.log()
