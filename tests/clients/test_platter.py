# SPDX-License-Identifier: BSD-2-Clause
"""platter, as far as it needs no kernel driver: what it prints of servers, and each exit status that it explains."""

import json
import os
import re
import socket
import struct
import subprocess

import pytest

import tls_support
from daemon import PLATTER, PLATTERD, Daemon
from fake_server import GREETING, FakeServer, answering, information, reply
from platter_support import FAILED, KERNEL, NOT_ATTACHED, REFUSED, TLS, UNREACHABLE, USAGE, refused, told
from rules.peers import Peer, Place, peers
from wire_client import CAN_MULTI_CONN, ERR_POLICY, ERR_SHUTDOWN, ERR_TLS_REQD, ERR_UNKNOWN, ERR_UNSUP, HAS_FLAGS, NO_ZEROES, OPT_ABORT, \
    OPT_INFO, OPT_LIST, READ_ONLY, REP_ACK, REP_SERVER, SEND_FLUSH, SEND_FUA

UUID = "0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3d"


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:64M", "b=null:1536M,readonly,description=nothing at all", tcp=True) as running:
        yield running


# --- The command line

def test_help_and_version():
    assert told("--help") == told("-h") == told("attach", "--help") and told("--help").startswith("Usage: platter ")
    assert re.fullmatch(r"platter \d+\.\d+.*\n", told("--version"))


@pytest.mark.parametrize("arguments, says", [
    ((), "a verb is missing"),
    (("fly",), "fly: not a verb"),
    (("--color", "list"), "--color: not a verb"),
    (("exports",), "exports: which URI?"),
    (("info", "nbd://a", "nbd://b"), "info: which URI?"),
    (("ping", "--often", "nbd://a"), "ping: --often: not an option"),
    (("ping",), "ping: which URI?"),
    (("exports", "server"), "server: a scheme is missing"),
    (("info", "nbd:server:10809"), "nbd:server:10809: it begins with nbd://"),
    (("ping", "nbd+unix:///x"), "?socket=PATH is missing"),
    (("info", "nbd+unix:///?socket=" + "p" * 108), "too long for a socket's path"),
    (("list", "all"), "list: all: not expected"),
    (("status", "a", "b"), "status: b: not expected"),
    (("detach",), "detach: which? or --all"),
    (("detach", "--all", "x"), "detach: --all, and names"),
    (("detach", "--hard", "x"), "detach: --hard: not an option"),
    (("detach", "--wait=soon", "x"), "detach: --wait=soon: not a number of seconds up to 86400"),
    (("detach", "--wait=", "x"), "detach: --wait=: not a number"),
    (("detach", "--wait=86401", "x"), "detach: --wait=86401: not a number"),
    (("detach", "--wait=1x", "x"), "detach: --wait=1x: not a number"),
    (("reconnect",), "reconnect: which?"),
    (("resize",), "resize: which?"),
    (("attach",), "attach: which URI, or name?"),
    (("attach", "h:1/x"), "h:1/x: h://: not one of nbd://"),
    (("attach", "nbd://h/x", "y"), "attach: y: not expected"),
    (("attach", "--fast", "nbd://h/x"), "attach: --fast: not an option"),
    (("attach", "nbd://h/x", "--name"), "attach: --name: not an option, or its value is missing"),
    (("attach", "--name=nbd0", "nbd://h/x"), "attach: nbd0: a name has up to 64"),
    (("attach", "--timeout=0", "nbd://h/x"), "attach: timeout=0: not a number of seconds"),
    (("attach", "--connections=17", "nbd://h/x"), "attach: connections=17"),
    (("attach", "--tls-trust-any", "nbd://h/x"), "attach: nbd://h/x: without TLS"),
])
def test_usage(arguments, says):
    refused(USAGE, *arguments, says=says)


@pytest.mark.parametrize("verb", ["detach", "status", "reconnect", "resize"])
def test_what_is_not_attached(verb):
    refused(NOT_ATTACHED, verb, "no-such-name", says=f"{verb}: no-such-name: nothing of that name is attached")
    refused(NOT_ATTACHED, verb, "/dev/nbd1048575", says=f"{verb}: nbd1048575 isn't attached by platter")


# --- What a server has

def test_exports(daemon):
    for uri in (daemon.uri(), daemon.tcp_uri()):
        lines = [line.split(maxsplit=1) for line in told("exports", uri).splitlines()]
        assert lines[0] == ["NAME", "DESCRIPTION"] and [line[0] for line in lines[1:]] == ["a", "b"]
        assert lines[2][1].startswith("nothing at all")
        listed = json.loads(told("--json", "exports", uri))
        assert [one["name"] for one in listed] == ["a", "b"] and listed[1]["description"].startswith("nothing at all")


def test_info(daemon):
    lines = dict(line.split(maxsplit=1) for line in told("info", daemon.tcp_uri("b")).splitlines())
    assert lines["server"] == f"127.0.0.1:{daemon.port}"
    assert (lines["name"], lines["size"]) == ("b", str(1536 << 20))
    assert lines["description"].startswith("nothing at all")
    assert re.fullmatch(r"minimum 1, preferred \d+, maximum \d+", lines["blocks"])
    assert {"read-only", "flush", "multi-conn"} <= set(lines["flags"].split())
    found = json.loads(told("info", daemon.uri("a"), "--json"))
    assert (found["server"], found["name"], found["size"], found["minimum"]) == (daemon.socket, "a", 64 << 20, 1)
    assert "fua" in found["flags"] and "read-only" not in found["flags"]


def test_ping(daemon):
    assert re.fullmatch(r"\d+\.\d ms\n", told("ping", daemon.tcp_uri("a")))
    assert re.fullmatch(r"\d+\.\d ms\n", told("ping", "--wait", daemon.uri("a")))


def test_nothing_is_left_behind(daemon):
    """The clients take their leave: the server has nothing to complain of, and nobody stays."""
    for verb in ("exports", "info", "ping"):
        told(verb, daemon.uri("a"))
    assert daemon.ctl_json("clients") == {"clients": []}
    assert "error" not in daemon.log() and "warning" not in daemon.log(), daemon.log()


def test_an_export_that_is_not_there(daemon):
    says = "the server has no export \"none\" (NBD_REP_ERR_UNKNOWN)"
    for verb in ("info", "ping"):
        assert "; platter exports URI lists them" in refused(REFUSED, verb, daemon.uri("none"), says=f"{verb}: {says}")


def test_tls_that_is_required(directory):
    options = ["--tls=required", "--tls-certificates", tls_support.certificates()]
    with Daemon(directory, "a=ram:1M", options=options, tls=False) as daemon:
        for verb, what in (("info", "a"), ("ping", "a"), ("exports", "a list of its exports")):
            refused(TLS, verb, daemon.uri("a"), says=f"{verb}: the server requires TLS for {what} (NBD_REP_ERR_TLS_REQD); write nbds://")


# --- Other people's servers

def qemu_nbd(program, place):
    return [program, "-t", "-k", place.socket, "-f", "raw", "-x", "disk", "-D", "words of qemu", *["-r"] * place.read_only, place.image]


OTHERS = [*peers(PLATTERD), Peer("qemu-nbd", "qemu-nbd", qemu_nbd, "--version")]


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("kind", ["writable", "read-only"])
def test_peers(directory, peer, kind):
    if not peer.program:
        pytest.skip(f"{peer.name} is not installed")
    place = Place(directory, kind)
    with peer.running(place):
        listed = json.loads(told("--json", "exports", place.uri))
        assert [one["name"] for one in listed] == ["disk"]
        found = json.loads(told("--json", "info", place.uri))
        # nbd-server looks at the file when it is used.
        assert found["size"] == (0 if peer.name == "nbd-server" else 8 << 30)
        assert ("read-only" in found["flags"]) == (kind == "read-only")
        assert "flush" in found["flags"] or kind == "read-only"
        if peer.name == "qemu-nbd":
            assert listed[0]["description"] == found["description"] == "words of qemu"
        assert told("ping", place.uri).endswith(" ms\n")
        if peer.name != "nbd-server":  # which hangs up
            refused(REFUSED, "info", place.uri.replace("/disk?", "/none?"), says="none")


# --- Servers that say what they like

def test_version_6():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = FakeServer(answering(), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        assert told("info", server.uri("x")).splitlines()[0] == f"server       {server.peer}"
        assert "[::1]" in server.peer


def test_the_identity():
    flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN
    with FakeServer(answering(size=1 << 40, flags=flags, description=f"a disk uuid={UUID}".encode(), blocks=(512, 4096, 1 << 25))) as server:
        assert told("info", server.uri("x")) == (
            f"server       {server.peer}\ndescription  a disk uuid={UUID}\nsize         1099511627776\n"
            f"blocks       minimum 512, preferred 4096, maximum 33554432\nuuid         {UUID}\nflags        flush fua multi-conn\n")
        assert json.loads(told("--json", "info", server.uri("x"))) == {
            "server": server.peer, "description": f"a disk uuid={UUID}", "size": 1 << 40, "minimum": 512, "preferred": 4096, "maximum": 1 << 25,
            "uuid": UUID, "flags": ["flush", "fua", "multi-conn"]}


def test_a_server_that_says_as_little_as_it_may():
    with FakeServer(answering(flags=HAS_FLAGS | READ_ONLY)) as server:
        assert told("info", server.uri("x")) == f"server       {server.peer}\nsize         1048576\nuuid         -\nflags        read-only\n"


def listing(*listed):
    def script(conversation, _number):
        conversation.greet()
        assert conversation.option() == (OPT_LIST, b"")
        for name, description in listed:
            conversation.send(reply(OPT_LIST, REP_SERVER, struct.pack(">I", len(name)) + name + description))
        conversation.send(reply(OPT_LIST, REP_ACK))
        assert conversation.option() == (OPT_ABORT, b"")
    return script


def test_no_terminal_obeys_a_server():
    with FakeServer(listing((b"\x1b[2Jname", "fünf €".encode()), (b"\xff\xfe", b"\xc2\x9bm"))) as server:
        lines = told("exports", server.uri(), env={**os.environ, "LC_ALL": "C.UTF-8"}).splitlines()
        assert [line.split(maxsplit=1) for line in lines[1:]] == [["?[2Jname", "fünf €"], ["??", "??m"]]
        # JSON has ways to write them; what isn't text it hasn't.
        listed = json.loads(told("--json", "exports", server.uri()))
        assert listed == [{"name": "\x1b[2Jname", "description": "fünf €"}, {"name": "??", "description": "\x9bm"}]
    with FakeServer(answering(description=b"\xff\x1b]0;title\x07")) as server:
        assert "description  ??]0;title?\n" in told("info", server.uri())
        assert json.loads(told("--json", "info", server.uri()))["description"] == "??]0;title?"


def test_nobody_answers(directory):
    path = os.path.join(directory, "socket")
    refused(UNREACHABLE, "ping", f"nbd+unix:///?socket={path}", says=f"ping: {path}: No such file or directory")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        refused(UNREACHABLE, "info", f"nbd://127.0.0.1:{port}/x", says=f"info: 127.0.0.1:{port}: Connection refused")
    refused(UNREACHABLE, "exports", "nbd://no..host/x", says="exports: no..host: ")


def test_a_server_that_hangs_up_at_once(directory):
    with FakeServer(lambda *_: None, path=os.path.join(directory, "s")) as server:
        refused(UNREACHABLE, "info", server.uri("x"), says=f"info: {server.peer}: the server hung up before it said anything")


@pytest.mark.parametrize("length", range(1, len(GREETING) + 1, 4))
def test_a_server_that_hangs_up_later(directory, length):
    def script(conversation, _number):
        conversation.send(GREETING[:length])
        if length == len(GREETING):
            conversation.read(4)
            conversation.option()

    with FakeServer(script, path=os.path.join(directory, "s")) as server:
        refused(REFUSED, "info", server.uri("x"), says="the server hung up in the handshake")


def test_something_else_listens_there():
    with FakeServer(lambda conversation, _: conversation.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        refused(REFUSED, "ping", server.uri(), says="ping: what answers there is no NBD server")


@pytest.mark.parametrize("kind, status, says", [
    (ERR_POLICY, REFUSED, "the server doesn't allow x to this client (NBD_REP_ERR_POLICY): because; its log has the reason"),
    (ERR_UNKNOWN, REFUSED, "the server has no export \"x\""),
    (ERR_TLS_REQD, TLS, "the server requires TLS for x"),
    (ERR_UNSUP, REFUSED, "the server can't give x"),
    (ERR_SHUTDOWN, UNREACHABLE, "the server is ending"),
])
def test_refusals(kind, status, says):
    def script(conversation, _number):
        conversation.greet()
        number, _ = conversation.option()
        conversation.send(reply(number, kind, b"because"))
        conversation.until_it_hangs_up()

    with FakeServer(script) as server:
        refused(status, "info", server.uri("x"), says="info: " + says)


def test_a_server_without_tls(daemon):
    refused(TLS, "info", daemon.uri("a").replace("nbd+", "nbds+"), says="the server has no TLS to offer")


def test_a_server_that_goes_on_one_byte_at_a_time():
    def script(conversation, _number):
        for byte in GREETING:
            conversation.send(bytes([byte]))
        assert conversation.read(4) == struct.pack(">I", 1 | NO_ZEROES)
        number, _ = conversation.option()
        for byte in information(number, description=b"drip"):
            conversation.send(bytes([byte]))
        conversation.until_it_hangs_up()

    with FakeServer(script) as server:
        assert "description  drip\n" in told("info", server.uri("x"))


def test_a_server_that_says_nothing():
    """For 15 s, no longer; it is no matter where in the handshake."""
    with FakeServer(lambda conversation, _: (conversation.greet(), conversation.until_it_hangs_up())) as server:
        refused(UNREACHABLE, "info", server.uri("x"), says=f"{server.peer}: it was silent for 15 s in the handshake")


def test_ping_waits_until_it_is_there():
    def script(conversation, number):
        if number == 0:
            return
        conversation.greet()
        option, _ = conversation.option()
        conversation.send(reply(option, ERR_SHUTDOWN) if number == 1 else information(OPT_INFO))
        conversation.until_it_hangs_up()

    with FakeServer(script) as server:
        assert told("ping", "--wait", server.uri("x")).endswith(" ms\n")
        assert server.clients >= 2


def test_ping_does_not_wait_for_what_will_not_come(daemon):
    refused(REFUSED, "ping", "--wait", daemon.uri("none"), says="ping: the server has no export")


# --- Without the kernel's driver

@pytest.mark.parametrize("options", [["--foreground"], [], ["--no-wait", "--foreground"]], ids=" ".join)
def test_attach_without_a_driver(directory, daemon, options):
    if os.path.exists("/sys/module/nbd"):
        pytest.skip("the kernel's NBD driver is loaded")
    # Where it can be loaded, it isn't.
    says = "attach: the kernel has no NBD driver, and modprobe nbd brings none"
    refused(KERNEL, "attach", *options, daemon.uri("a"), says=says, env={**os.environ, "PATH": directory})
    assert daemon.ctl_json("clients") == {"clients": []}


def test_nothing_is_attached():
    if os.path.exists("/run/platter/client") and any(name.startswith("nbd") for name in os.listdir("/run/platter/client")):
        pytest.skip("something is attached on this machine")
    assert told("list").split() == ["NAME", "DEVICE", "SIZE", "RO", "LINKS", "STATE", "URI"]
    assert json.loads(told("--json", "list")) == [] and json.loads(told("--json", "status")) == []
    assert told("status") == "" and told("detach", "--all") == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_cannot_be_written(daemon):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PLATTER, "info", daemon.uri("a")], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == FAILED and "standard output cannot be written" in done.stderr


@pytest.mark.parametrize("program", ["platter", "platter-generator"])
def test_it_fits_an_initramfs(program):
    """The handshake is its own: neither libnbd nor what that brings along."""
    libraries = subprocess.run(["ldd", os.path.join(os.path.dirname(PLATTER), program)], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in libraries
    assert not re.search("libnbd|gnutls|libxml2", libraries), libraries
