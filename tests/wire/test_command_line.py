# SPDX-License-Identifier: BSD-2-Clause
"""The command line: what is wrong with it is said in one line that names it, and what is right does what it says."""

import os
import subprocess

import pytest

from daemon import PLATTERD, Daemon
from shared import KIB, MIB, info, noise, own_daemon, sparse_file
from wire_client import (INFO_DESCRIPTION, INFO_NAME, OPT_GO, OPT_LIST, READ_ONLY, REP_SERVER, Wire, go_data)


def run(*arguments):
    return subprocess.run([PLATTERD, "--control", "none", *arguments], capture_output=True, text=True, timeout=20, check=False)


def refusal(directory, *arguments):
    """The one line that says why a server doesn't start, which leaves nothing behind."""
    path = os.path.join(directory, "nbd.sock")
    before = sorted(os.listdir(directory))
    ended = run("--listen", "unix:" + path, *arguments)
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert sorted(os.listdir(directory)) == before
    [line] = (line for line in ended.stderr.splitlines() if "listening on" not in line)
    return line


BAD_EXPORTS = {
    "nosuchdriver:1G": "nosuchdriver", "ram": "size", "ram:0": "ram:0", "ram:": "ram:", "ram:1X": "1X", "ram:-1": "-1", "ram:1.5G": "1.5G",
    "ram:99999999999999999999": "99999999999999999999", "ram:18446744073709551615G": "18446744073709551615G",
    "ram:1000T": "memory", "ram:1M,size=2M": "size", "ram:1M,color=red": "color", "ram:1M,huge=maybe": "maybe", "ram:1M,": "ram:1M,",
    "ram:1M,readonly=perhaps": "perhaps", "null:1M,delay=soon": "soon", "null:1M,delay=-1": "-1", "null:1M,delay": "delay", "null:0": "0",
    "/no/such/file": "/no/such/file", "file:/no/such/file": "/no/such/file", "file": "path", "file:": "path", "file:path=": "path",
    "ram:1M,description": "description", "ram:1M,description=a,description=b": "description: given twice", "/dev/null": "/dev/null", "=ram:1M": "name", "x" * 4097 + "=ram:1M": "4096", "": "driver", "a=": "driver", ":": "driver",
    "name=other=ram:1M": "other",
}


@pytest.mark.parametrize("export, named", BAD_EXPORTS.items(), ids=lambda text: text[:30])
def test_a_bad_export_is_named_in_one_line(directory, export, named):
    assert named in refusal(directory, export)


@pytest.mark.parametrize("option, named", [
    (["--nonsense"], "nonsense"), (["--threads=0"], "1 to 1024"), (["--memory=1"], "1M"), (["--threads=x"], "x"), (["--threads=-1"], "-1"), (["-t", "99999"], "99999"),
    (["--poll-us=often"], "often"), (["--max-connections=0"], "0"), (["--max-connections=many"], "many"), (["--drain-timeout=-5"], "-5"),
    (["--memory=0"], "0"), (["--memory=lots"], "lots"), (["--listen=here"], "here"), (["--listen=unix:"], "path"), (["--listen=tcp:"], "host"),
    (["--listen=tcp:localhost:99999"], "99999"), (["--listen=tcp:localhost:http:80"], "brackets"), (["--listen=tcp:::1"], "brackets"),
    (["--listen=tcp:[::1"], "[::1"), (["--listen=/run/x"], "unix:PATH"), (["--listen=unix:/tmp/x,mod=660"], "mod=660"), (["--listen=unix:/tmp/x,mode=999"], "mode"), (["--listen=unix:/tmp/x,mode="], "mode"),
    (["--listen=tcp:no.such.host.invalid:1"], "no.such.host.invalid"), (["--listen=tcp:localhost:"], "port"), (["-z"], "z"),
    (["--threads"], "threads"),
], ids=str)
def test_a_bad_option_is_named_in_one_line(directory, option, named):
    # An option without its value would take the export's.
    arguments = ["ram:1M", *option] if option == ["--threads"] else [*option, "ram:1M"]
    assert named in refusal(directory, *arguments)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_cannot_be_printed_is_an_error(option):
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([PLATTERD, option], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert "No space left" in ended.stderr


def test_nothing_to_serve_is_refused(directory):
    assert "export" in refusal(directory)


@pytest.mark.parametrize("exports", [["a=ram:1M", "a=ram:2M"], ["ram0=ram:1M", "a=null", "ram0=null"]], ids=str)
def test_a_duplicate_name_is_refused(directory, exports):
    assert exports[-1] in refusal(directory, *exports)


def test_a_directory_is_refused(directory):
    assert directory in refusal(directory, directory)


def test_an_empty_file_is_refused(directory):
    assert "empty" in refusal(directory, sparse_file(directory, 0))


def test_a_file_cannot_be_two_disks(directory):
    path = sparse_file(directory, MIB)
    assert path in refusal(directory, path, "other=" + path)
    with Daemon(directory, path, f"other={path},share=on"):
        pass


def test_version():
    ended = run("--version")
    assert ended.returncode == 0 and ended.stderr == ""
    assert ended.stdout.startswith("platterd ") and len(ended.stdout.splitlines()) == 1


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    ended = run(option)
    assert ended.returncode == 0 and ended.stderr == ""
    for word in ("Usage:", "--listen", "--threads", "--memory", "readonly", "description", "ram", "null", "file", "direct"):
        assert word in ended.stdout
    assert all(len(line) <= 100 for line in ended.stdout.splitlines())


def names(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        return [data[4:4 + int.from_bytes(data[:4], "big")].decode() for kind, data in wire.option(OPT_LIST) if kind == REP_SERVER]


def test_default_names_are_numbered_for_each_driver(directory):
    path = sparse_file(directory, MIB)
    with Daemon(directory, "ram:1M", path, "null", "ram:1M", "ram3=ram:1M", "null", "ram:1M", "ram:1M") as daemon:
        assert names(daemon) == ["ram0", "file0", "null0", "ram1", "ram3", "null1", "ram2", "ram4"]


@pytest.mark.parametrize("name", ["a/b/c", "größe", "磁盘", "with space", "x" * 250, "x" * 4096, "%s%n", "a'b\"c", "../up", "😀"], ids=lambda n: n[:9] + str(len(n)))
def test_any_name_can_be_served(directory, name):
    # A path would start like this.
    written = "\\" + name if name[0] in "./" else name
    with Daemon(directory, written + "=ram:1M", "other=ram:2M") as daemon, Wire(daemon) as wire:
        assert names(daemon) == [name, "other"]
        assert wire.go(name.encode()).size == MIB


@pytest.mark.parametrize("text, name", [(r"a\=b", "a=b"), (r"a\,b", "a,b"), (r"a\:b", "a:b"), (r"a\\b", "a\\b"), (r"\a", "a"),
                                        (r"nbd\:\,\=\\x", r"nbd:,=\x")])
def test_a_backslash_makes_characters_plain(directory, text, name):
    with Daemon(directory, text + "=ram:1M") as daemon:
        assert names(daemon) == [name]


@pytest.mark.parametrize("name", ["a,b", "a:b", "a=b", "a\\b", "plain", "größe", "a b", "readonly", ",readonly"])
@pytest.mark.parametrize("form", ["{}", "file:{}", "file:path={}", "x={}", "x=file:{},readonly", "file:readonly=off,path={}"])
def test_files_of_any_name(directory, name, form):
    path = sparse_file(directory, MIB, name)
    for character in "\\,:=":
        path = path.replace(character, "\\" + character)
    with Daemon(directory, form.format(path)) as daemon, Wire(daemon) as wire:
        assert wire.go().size == MIB


def test_a_relative_path(directory):
    sparse_file(directory, MIB)
    where = os.path.relpath(os.path.join(directory, "disk"))
    with Daemon(directory, where) as daemon, Wire(daemon) as wire:
        assert wire.go().size == MIB


@pytest.mark.parametrize("size, expected", [("512", 512), ("1", 1), ("4K", 4096), ("10KiB", 10240), ("3M", 3 * MIB), ("1MiB", MIB), ("1G", 1 << 30),
                                            ("2T", 2 << 40), ("1k", KIB), ("100m", 100 * MIB)])
def test_sizes(directory, size, expected):
    with Daemon(directory, f"null:{size}") as daemon, Wire(daemon) as wire:
        assert wire.go().size == expected


@pytest.mark.parametrize("export, read_only", [("ram:1M,readonly", True), ("ram:1M,readonly=on", True), ("ram:1M,readonly=off", False),
                                               ("ram:1M", False), ("readonly=ram:1M", False)])
def test_readonly(directory, export, read_only):
    with Daemon(directory, export) as daemon, Wire(daemon) as wire:
        assert bool(wire.go().transmission_flags & READ_ONLY) == read_only


@pytest.mark.parametrize("written, told", [("two words", "two words"), (r"a\,b\=c\:d", "a,b=c:d"), ("größe", "größe"), ("x" * 4096, "x" * 4054),
                                           ("", "")], ids=lambda text: text[:9])
def test_description(directory, written, told):
    with Daemon(directory, f"a=ram:1M,description={written}") as daemon, Wire(daemon) as wire:
        wire.flags()
        replies = wire.option(OPT_GO, go_data(infos=[INFO_DESCRIPTION, INFO_NAME]))
        assert info(replies, INFO_DESCRIPTION).decode().rpartition("uuid=")[0].rstrip() == told


def test_a_thousand_exports(directory):
    with own_daemon(*(f"disk{n}=ram:1M" for n in range(1000))) as daemon, Wire(daemon) as wire:
        assert len(names(daemon)) == 1000
        assert wire.go(b"disk999").write(0, noise(4096)) == 0
