# SPDX-License-Identifier: BSD-2-Clause
"""Parameters from the command line to the module and back: arrays of every type, and who may see and set what."""

import os
import subprocess

import pytest

from control_client import ControlClient
from daemon import PLATTERCTL, Daemon
from modules_support import build, module

# Type: its C type, and its limits as they are printed.
NUMBERS = {
    "byte": ("uint8_t", 0, 2**8 - 1), "short": ("short", -2**15, 2**15 - 1), "ushort": ("unsigned short", 0, 2**16 - 1),
    "int": ("int", -2**31, 2**31 - 1), "uint": ("unsigned int", 0, 2**32 - 1), "long": ("long", -2**63, 2**63 - 1),
    "ulong": ("unsigned long", 0, 2**64 - 1),
}
# What is written, and how it reads back.
GIVEN = {
    **{kind: (f"{least},0x10,{most}", f"{least},16,{most}") for kind, (_, least, most) in NUMBERS.items()},
    "bool": ("y,off,1", "Y,N,Y"), "charp": ("a b,c,d=e", "a b,c,d=e"),
}
PERMISSIONS = ("0", "0200", "0400", "0600", "0440", "0640", "0444", "0644")


def arrays():
    """An array of four of each type; init tells what the module itself finds in it."""
    source, tell = "#include <stdio.h>\n", ""
    for kind in GIVEN:
        declared = NUMBERS[kind][0] if kind in NUMBERS else {"bool": "bool", "charp": "const char *"}[kind]
        shown = {"charp": '"%s"', "bool": '"%d"'}.get(kind, '"%ld"' if kind != "ulong" else '"%lu"')
        cast = "" if kind in ("charp", "bool", "ulong") else "(long)"
        source += (f"static {declared} {kind}s[4]; static unsigned int {kind}_count;\n"
                   f'PLATTER_PARAM_ARRAY({kind}s, {kind}, {kind}_count, 0644, "some");\n')
        tell += (f'for (unsigned i = 0; i < {kind}_count; i++) platter_log(PLATTER_LOG_NOTICE, "{kind} %u: " {shown} ";", i, '
                 f"{cast}{kind}s[i]);\n")
    return source + f"static int start(void) {{ {tell} return 0; }}\n" + module("arrays") + "PLATTER_INIT(start);"


@pytest.fixture
def daemon(directory):
    os.chmod(directory, 0o755)
    with Daemon(directory, "a=ram:1M", options=["--control", f"{directory}/control.sock,mode=0666"]) as running:
        yield running


def test_arrays_of_every_type(daemon, directory):
    path = build(directory, "arrays", arrays())
    daemon.ctl("insmod", path, *[f"{kind}s={given}" for kind, (given, _) in GIVEN.items()])
    shown = dict(line.split("=", 1) for line in daemon.ctl("param", "arrays").splitlines())
    assert shown == {kind + "s": expected for kind, (_, expected) in GIVEN.items()}
    for kind, (_, expected) in GIVEN.items():
        for number, value in enumerate(expected.split(",")):
            value = {"Y": "1", "N": "0"}.get(value, value) if kind == "bool" else value
            assert f"platterd: {kind} {number}: {value};\n" in daemon.log()
    for kind, (_, least, most) in NUMBERS.items():
        for wrong, element in ((f"1,{most + 1}", 2), (f"{least - 1}", 1), ("2,3,4,x", 4), ("1,,2", 2)):
            said = daemon.ctl("param", "arrays", kind + "s", wrong, status=1)
            assert f"parameter '{kind}s', element {element}" in said and f"a number from {least} to {most}" in said
    for kind in GIVEN:
        word = {"bool": "n", "charp": "word"}.get(kind, "7")
        assert "at most 4" in daemon.ctl("param", "arrays", kind + "s", ",".join([word] * 5), status=1)
        assert daemon.ctl("param", "arrays", kind + "s") == GIVEN[kind][1] + "\n"
        daemon.ctl("param", "arrays", kind + "s", ",".join([word] * 4))
        assert daemon.ctl("param", "arrays", kind + "s") == ",".join([word.upper() if kind == "bool" else word] * 4) + "\n"
    for kind in GIVEN:
        daemon.ctl("rmmod", "arrays")
        assert "arrays" in daemon.ctl("insmod", path, f"{kind}s=1,1,1,1,1", status=1)
        daemon.ctl("insmod", path)
        assert daemon.ctl("param", "arrays", kind + "s") == "\n"


def variables():
    return "".join(f'static int p{mode} = 7; PLATTER_PARAM(p{mode}, int, {mode}, "x");\n' for mode in PERMISSIONS) + module("modes")


def test_who_may_change_the_server_is_a_parameter_s_owner(daemon, directory):
    daemon.ctl("insmod", build(directory, "modes", variables()), *[f"p{mode}={number}" for number, mode in enumerate(PERMISSIONS)])
    with ControlClient(daemon) as client:
        found = {one["name"]: (one["value"], one["writable"]) for one in client.result("module.params", name="modes")["params"]}
        assert found == {f"p{mode}": (str(number), int(mode, 8) & 0o200 != 0) for number, mode in enumerate(PERMISSIONS)
                         if int(mode, 8) & 0o400}
        for mode in PERMISSIONS:
            answer = client.call("module.param.set", name="modes", param="p" + mode, value="9")
            code = answer["error"]["code"] if "error" in answer else None
            assert code == (None if int(mode, 8) & 0o200 else "EACCES" if int(mode, 8) else "ENOENT"), mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_everybody_else_sees_what_is_for_all_and_sets_nothing(daemon, directory):
    def other(*arguments):
        return subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", os.path.abspath(PLATTERCTL), "--socket", daemon.control,
                               *arguments], capture_output=True, text=True, timeout=60, check=False)

    daemon.ctl("insmod", build(directory, "modes", variables()))
    assert set(other("param", "modes").stdout.split()) == {"p0444=7", "p0644=7"}
    for mode in PERMISSIONS:
        done = other("param", "modes", "p" + mode)
        assert (done.returncode, done.stdout) == ((0, "7\n") if int(mode, 8) & 0o004 else (1, ""))
        assert other("param", "modes", "p" + mode, "8").returncode == 1
    assert set(daemon.ctl("param", "modes").split()) == {f"p{mode}=7" for mode in PERMISSIONS if int(mode, 8) & 0o400}


@pytest.mark.parametrize("mode", ["0666", "0604", "0464", "0020", "0755", "01644", "644"])
def test_permissions_that_the_kernel_would_refuse_are_refused(daemon, directory, mode):
    source = f'static int p; PLATTER_PARAM(p, int, {mode}, "x");\n' + module("odd")
    assert "the permissions let others do more" in daemon.ctl("insmod", build(directory, "odd", source), status=1)
