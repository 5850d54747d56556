# SPDX-License-Identifier: BSD-2-Clause
"""scripts/platter.bash: what bash offers, with a platter that only pretends, and with the real one."""

import functools
import os
import shlex
import subprocess

import pytest

from daemon import PLATTER, Daemon

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts/platter.bash")

# Prints what it was asked for, as platter does.
PRETENDER = r"""#!/bin/sh
case "$*" in
--help) printf '  %s  help\n' 'attach [OPTION...] URI' 'detach DEVICE...' list 'ping URI'
	printf '\nOptions of attach:\n      --name=NAME         what\n                          it is\n'
	printf '      --read-only         nobody writes\n      --tls-psk=FILE      keys\n\n      --json         print\n' ;;
"--json list") printf '[\n  {\n    "name": "vm1",\n    "device": "/dev/nbd0",\n    "settings": {\n      "name": "vm1"\n    }\n  },\n'
	printf '  {\n    "name": "vm2",\n    "device": "/dev/nbd7"\n  }\n]\n' ;;
"--json check") printf '[\n  {\n    "what": "nbd"\n  },\n  {\n    "name": "vm3",\n    "what": "/etc/nbdtab:1"\n  }\n]\n'; exit 2 ;;
"--json exports nbd://server/" | "--json exports nbds://[::1]:77/")
	printf '[\n  {\n    "name": "vm:1"\n  },\n  {\n    "name": "a \\"disk\\"",\n    "description": "x"\n  }\n]\n' ;;
*) exit 1 ;;
esac
"""


def complete(directory, *words, breaks="=:"):
    """What is offered behind a command line; bash takes it apart where it does in a terminal."""
    script = f"""
        set -u
        COMP_WORDBREAKS={shlex.quote(breaks)}
        . {shlex.quote(SCRIPT)}
        COMP_WORDS=(platter {" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words)}
        _platter platter
        ((${{#COMPREPLY[@]}} == 0)) || printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60,
                          check=True, env={**os.environ, "PATH": directory + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    return sorted(done.stdout.splitlines())


@pytest.fixture
def offered(directory):
    """complete(), in a directory with files and a platter that pretends."""
    with open(os.path.join(directory, "platter"), "w", encoding="utf-8") as file:
        file.write(PRETENDER)
    os.chmod(os.path.join(directory, "platter"), 0o755)
    with open(os.path.join(directory, "keys.psk"), "w", encoding="utf-8"):
        pass
    os.mkdir(os.path.join(directory, "pki"))
    return functools.partial(complete, directory)


def test_verbs_are_those_of_the_help(offered):
    assert offered("") == ["attach", "detach", "list", "ping"]
    assert offered("a") == ["attach"] and offered("--json", "l") == ["list"]
    assert offered("nonsense", "") == []


def test_what_is_attached(offered):
    for verb in ("detach", "status", "reconnect", "resize"):
        assert offered(verb, "") == ["vm1", "vm2"]
        assert offered(verb, "/dev/") == ["/dev/nbd0", "/dev/nbd7"]
    assert offered("detach", "--force", "vm1", "vm2") == ["vm2"]
    assert offered("status", "vm1", "") == []


def test_options(offered):
    assert offered("--v") == ["--version"] and offered("--") == ["--help", "--json", "--version"]
    assert offered("attach", "--") == ["--name=", "--read-only", "--tls-psk="]
    assert offered("detach", "--f") == ["--force"] and offered("detach", "--w") == ["--wait"] and offered("ping", "-") == ["--wait"]
    assert offered("status", "--") == ["--json"]


def test_values_of_options(offered):
    assert offered("attach", "--tls-psk", "=", "k") == offered("attach", "--tls-psk", "k") == ["keys.psk"]
    assert offered("attach", "--tls-psk=k", breaks="") == ["keys.psk"]
    assert offered("attach", "--tls-certificates", "=") == offered("attach", "--tls-certificates", "") == ["pki"]
    assert offered("attach", "--dead-timeout", "=", "i") == offered("attach", "--dead-timeout", "i") == ["infinity"]
    assert offered("attach", "--name", "=", "v") == offered("attach", "--name", "v") == []


def test_uris(offered):
    schemes = ["nbd+unix:///", "nbd://", "nbds+unix:///", "nbds://"]
    assert offered("ping", "", breaks="") == schemes
    assert offered("attach", "", breaks="") == schemes + ["vm3"]
    assert offered("attach", "--name", "x", "--read-only", "nbds:", breaks="") == ["nbds://"]
    # Behind the colon, where bash took it apart.
    assert offered("attach", "nbds", ":") == ["//"]
    assert offered("attach", "nbd://server/", breaks="") == ["nbd://server/a%20%22disk%22", "nbd://server/vm%3A1"]
    assert offered("attach", "nbd", ":", "//server/v") == ["//server/vm%3A1"]
    assert offered("info", "nbds", ":", "//[", "::", "1]", ":", "77/v") == ["77/vm%3A1"]
    assert offered("exports", "nbd://other/", breaks="") == []
    assert offered("attach", "nbd://server/vm", "", breaks="") == []


def test_the_real_one(directory):
    os.symlink(os.path.abspath(PLATTER), os.path.join(directory, "platter"))
    with Daemon(directory, "one=ram:1M", "two=ram:1M", tcp=True) as daemon:
        server = f"nbd://127.0.0.1:{daemon.port}/"
        assert complete(directory, "info", server, breaks="") == [server + "one", server + "two"]
        assert complete(directory, "info", server + "t", breaks="") == [server + "two"]
    assert {"attach", "check", "detach", "exports", "info", "list", "ping", "reconnect", "resize", "status"} <= set(complete(directory, ""))
    assert {"--dead-timeout=", "--foreground", "--tls-trust-any"} <= set(complete(directory, "attach", "--"))
