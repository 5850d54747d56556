# SPDX-License-Identifier: BSD-2-Clause
"""platter attach NAME: what files say, what the command line adds, and how mistakes in files are told; platter check."""

import json
import os

import pytest

from platter_support import KERNEL, USAGE, refused, run


@pytest.fixture
def files(directory):
    """Writes nbdtab, or files of attach.d; what it is called with is the environment that has platter read them."""
    attach_d = os.path.join(directory, "attach.d")
    os.mkdir(attach_d)
    environment = os.environ | {"PLATTER_ATTACH_D": attach_d, "PLATTER_NBDTAB": os.path.join(directory, "nbdtab")}

    def write(name, text):
        with open(os.path.join(directory if name == "nbdtab" else attach_d, name), "w", encoding="utf-8") as file:
            file.write(text)
        return environment

    return write


@pytest.mark.parametrize("name, text, argument, says", [
    ("a.conf", "uri = nbd://h/x\ntimeout = soon\n", "a", "a.conf:2: timeout=soon: not a number of seconds from 1 to 4000000"),
    ("nbdtab", "nbd7 h x conns=none\n", "x", "nbdtab:1: connections=none: not a number"),
    ("nbdtab", "nbd7 h x\n", "nbd8", "nbd8: not a URI, and there is neither"),
    ("nbdtab", "nbd7 h x\n", "y", "nor such a line in"),
])
def test_mistakes(files, name, text, argument, says):
    refused(USAGE, "attach", argument, says=says, env=files(name, text))


def test_options_count_more_than_files(files):
    environment = files("a.conf", "uri = nbds://h/x\n")
    refused(USAGE, "attach", "--timeout=x", "a", says="attach: timeout=x: not a number", env=environment)
    refused(USAGE, "attach", "a", "--name=nbd1", says="attach: nbd1: a name has up to 64", env=environment)


# --- check

def check(environment):
    """What platter check found: state and text, by what it is about; it exits with what that means."""
    done = run("--json", "check", env=environment)
    assert done.stderr == ""
    findings = json.loads(done.stdout)
    assert len({finding["what"] for finding in findings}) == len(findings)
    states = {finding["what"]: finding["state"] for finding in findings}
    assert set(states.values()) <= {"ok", "missing", "wrong"}
    kernel = [states.pop(what) for what in ("kernel", "nbd", "tls", "ciphers")]
    if "missing" in kernel:
        assert done.returncode == KERNEL
    else:
        assert done.returncode == (USAGE if set(states.values()) - {"ok"} else 0)
    assert run("check", env=environment).stdout.splitlines() == [f"{finding['state']}: {finding['what']}: {finding['text']}" for finding in findings]
    return {finding["what"]: (finding["state"], finding["text"]) for finding in findings}


def test_check_of_this_machine(files):
    found = check(files("nbdtab", ""))
    assert list(found) == ["kernel", "nbd", "tls", "ciphers", "udev", "systemd", "state"]
    assert found["kernel"] == ("ok", "Linux " + os.uname().release)
    if os.path.exists("/sys/module/nbd"):
        assert found["nbd"] == ("ok", "is loaded")
    if os.access("/run", os.W_OK):
        assert found["state"][0] == "ok"


def test_check_tells_what_modprobe_does(files, directory):
    """Its answers are those of a modprobe that knows some names, and that doesn't load anything."""
    script, environment = os.path.join(directory, "modprobe"), files("nbdtab", "")
    with open(script, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\n[ "$1 $2" = "-n -q" ] || exit 9\ncase $3 in nbd | crypto-gcm | crypto-ctr) exit 0 ;; esac\nexit 1\n')
    os.chmod(script, 0o755)
    found = check(environment | {"PATH": directory})
    if not os.path.exists("/sys/module/nbd"):
        assert found["nbd"] == ("ok", "is loaded when it is needed")
    if not os.path.exists("/sys/module/tls"):
        assert found["tls"][0] == "missing" and found["tls"][1].startswith("the kernel has no TLS, and a relay does it")
    with open("/proc/crypto", encoding="utf-8") as file:
        if ": gcm(aes)\n" not in file.read():
            assert found["ciphers"][0] == "missing" and "crypto-ghash" in found["ciphers"][1]
    found = check(environment | {"PATH": "/nonexistent"})
    if not os.path.exists("/sys/module/nbd"):
        assert found["nbd"][0] == "missing" and "nothing can be attached" in found["nbd"][1]


def test_check_of_files(files, directory):
    files("a b.conf", "uri = nbd://h/x\n")
    files("broken.conf", "uri = nbd://h/x\n\ntimeout = soon\n")
    files("keys.conf", f"uri = nbds://u@h/x\ntls-psk = {directory}/none\n")
    files("vm1.conf", f"uri = nbds://h/x\ntls-certificates = {directory}\nauto = no\n")
    found = check(files("nbdtab", "nbd0 h data bs=512\nnbd1 h\nnbd2 h data\n"))
    found = {what.replace(directory + "/", ""): said for what, said in found.items() if directory in what}
    assert found == {
        "attach.d/a b.conf": ("wrong", "a b: a name has up to 64 letters, digits and . _ -, begins with none of . and -, and is not a device's"),
        "attach.d/broken.conf:3": ("wrong", "timeout=soon: not a number of seconds from 1 to 4000000"),
        "attach.d/keys.conf": ("wrong", f"tls-psk={directory}/none: No such file or directory"),
        "attach.d/vm1.conf": ("ok", "vm1 is nbds://h/x, not at boot"),
        "nbdtab:1": ("ok", "data is nbd://h/data; bs=512: ignored: blocks are the server's smallest"),
        "nbdtab:2": ("wrong", "nbd1: device, host and export are needed, as in: nbd0 server export"),
        "nbdtab:3": ("wrong", "data is another one's name; give it its own (in nbdtab _name=NAME)"),
    }


def test_check_takes_no_arguments():
    refused(USAGE, "check", "all", says="check: all: not expected")
