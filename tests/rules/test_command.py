# SPDX-License-Identifier: BSD-2-Clause
"""Any server can be held against the rules, by its address."""

import contextlib
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading

import pytest

import tls_support
from daemon import Daemon
from rules.suite import all_rules
from wire_client import Wire

FOLDER = os.path.dirname(os.path.abspath(__file__))


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "disk=ram:64M", "fixed=ram:1M,readonly", tcp=True, tls=False) as running:
        yield running


def test_a_server_by_its_address(daemon):
    done = run(FOLDER, f"nbd://127.0.0.1:{daemon.port}/disk", "--overwrite")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 MUST and 0 SHOULD broken" in done.stdout and " 0 not tried" in done.stdout


@pytest.mark.parametrize("address", [
    "nbds://127.0.0.1:{port}/disk", "nbds://127.0.0.1:{port}/disk?tls-certificates={folder}", "nbds+unix:///disk?socket={socket}",
    "nbds+unix:///disk?socket={socket}&tls-certificates={folder}"])
def test_a_server_inside_tls_by_its_address(directory, address):
    folder = tls_support.certificates()
    with Daemon(directory, "disk=ram:256M", tcp=True, tls=False, options=["--tls-certificates", folder, "--tls-verify-peer"]) as daemon:
        options = [] if "{folder}" in address else ["--tls-certificates", folder]
        done = run(FOLDER, address.format(port=daemon.port, socket=daemon.socket, folder=folder), "--overwrite", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 MUST and 0 SHOULD broken" in done.stdout and " 0 not tried" in done.stdout
    assert re.search(r"^  yes MUST +starttls", done.stdout, re.M)


class Bent(socketserver.BaseRequestHandler):
    """A server in between that adds a flag to the greeting, which no server may set."""

    def handle(self):
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.upstream)
            greeting = bytearray(upstream.recv(18, socket.MSG_WAITALL))
            greeting[17] |= 4
            self.request.sendall(greeting)
            threading.Thread(target=self.copy, args=(self.request, upstream), daemon=True).start()
            self.copy(upstream, self.request)

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_broken_rule_is_told(daemon, directory):
    path = os.path.join(directory, "bent.sock")
    with socketserver.ThreadingUnixStreamServer(path, Bent) as bent:
        bent.upstream = daemon.socket
        thread = threading.Thread(target=bent.serve_forever)
        thread.start()
        try:
            done = run(FOLDER, f"nbd+unix:///disk?socket={path}", "--rule", "greeting", "--rule", "go")
        finally:
            bent.shutdown()
            thread.join()
    assert done.returncode == 1
    assert re.search(r"NO +MUST +greeting: 4e42444d4147494349484156454f50540007 came\n", done.stdout)
    assert "1 kept, 1 MUST and 0 SHOULD broken, 0 not offered, 0 not tried" in done.stdout


def test_nothing_is_written_unless_asked_for(daemon):
    with Wire(daemon) as wire:
        wire.go(b"disk")
        content = os.urandom(1 << 20) * 64
        for offset in range(0, len(content), 1 << 25):
            assert wire.write(offset, content[offset:offset + (1 << 25)]) == 0
        done = run(FOLDER, daemon.uri("disk"))
        assert done.returncode == 0
        assert all(wire.read(offset, 1 << 25) == content[offset:offset + (1 << 25)] for offset in range(0, len(content), 1 << 25))
    tried, not_tried = (re.findall(rf"^  {re.escape(word)} +[A-Z]+ +([\w.-]+)$", done.stdout, re.M) for word in ("yes", "?"))
    assert "go" in tried and "read-what-was-written" in not_tried


def test_an_export_that_cannot_be_had(directory):
    with Daemon(directory, "disk=ram:64M", options=["--tls-certificates", tls_support.certificates()], tls=False) as daemon:
        done = run(FOLDER, daemon.uri("disk"))
        assert done.returncode == 2 and "refuses the export" in done.stderr


@pytest.mark.parametrize("arguments, complaint", [
    (["http://localhost/"], "write nbd://"), (["nbd+unix:///x"], "no socket="), (["nbds://localhost/"], "certificates"),
    (["nbd+unix:///?socket=/nowhere"], "No such file"), ([], "no address")])
def test_what_cannot_be_tried(arguments, complaint):
    done = run(FOLDER, *arguments)
    assert done.returncode == 2 and complaint in done.stderr


def test_the_rules_are_listed():
    listed = run(FOLDER, "--list").stdout
    assert all(f"  {rule.name} ({rule.level}, {rule.section})\n" in listed for _, rules in all_rules() for rule in rules)
