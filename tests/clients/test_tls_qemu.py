# SPDX-License-Identifier: BSD-2-Clause
"""qemu's own tools inside TLS: block status, dirty bitmaps, what is refused, and a storage daemon that serves on what it gets."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess

import pytest

import tls_support
from client_support import MIB, TRANSPORTS, complaint, digest, run, sparse_file
from daemon import Daemon, end_process, wait_for

SIZE = 64 * MIB
CERTIFICATES = tls_support.certificates()
STRANGERS = tls_support.certificates("strangers")


def x509(folder=CERTIFICATES):
    return f"tls-creds-x509,id=tls0,endpoint=client,dir={folder}"


def psk(folder=CERTIFICATES):
    return f"tls-creds-psk,id=tls0,endpoint=client,dir={folder},username=client"


MODES = {"X.509": x509, "key": psk}


class Client:
    """qemu's tools with CREDENTIALS.  On a unix socket they have to be told the name that the server's certificate has."""

    def __init__(self, daemon, credentials, transport="tcp", host=None):
        where = {"tcp": f"server.type=inet,server.host=127.0.0.1,server.port={daemon.port}",
                 "unix": f"server.type=unix,server.path={daemon.socket}"}[transport]
        if transport == "unix" and "x509" in credentials:
            host = host or "localhost"
        self.node = f"driver=nbd,export=d,{where}" + (f",tls-hostname={host}" if host else "")
        self.objects = ["--object", credentials] if credentials else []
        self.node += ",tls-creds=tls0" if credentials else ""

    def img(self, command, *arguments):
        return run("qemu-img", command, *self.objects, *arguments)

    def io(self, *commands):
        output = run("qemu-io", *self.objects, "--image-opts", *(word for line in commands for word in ("-c", line)), self.node)
        assert not any(bad in output for bad in ("failed", "rror:")), output

    def map(self, bitmap=None):
        """(offset, length, whether there is data) of each part; there is none in what is dirty in a BITMAP."""
        wanted = f",x-dirty-bitmap=qemu:dirty-bitmap:{bitmap}" if bitmap else ""
        parts = json.loads(self.img("map", "--output=json", "--image-opts", self.node + wanted))
        assert sum(part["length"] for part in parts) == SIZE
        return [(part["start"], part["length"], part["data"]) for part in parts]

    def refused(self):
        """What qemu-img says of it."""
        return complaint("qemu-img", "info", *self.objects, "--image-opts", self.node)


@pytest.fixture
def daemon(directory):
    with open(os.path.join(directory, "export.img"), "wb") as file:
        file.truncate(SIZE)
    with Daemon(directory, f"d={directory}/export.img", tcp=True, tls=False,
                options=[*tls_support.options(), "--tls-verify-peer", "-v"]) as running:
        yield running


@pytest.fixture(params=[(mode, transport) for mode in MODES for transport in TRANSPORTS], ids=" ".join)
def client(daemon, request):
    mode, transport = request.param
    return Client(daemon, MODES[mode](), transport)


def is_logged(daemon, text):
    wait_for(lambda: text in daemon.log(), f'"{text}" in the log')


# --- What works


def test_convert_there_and_back_without_the_holes(directory, daemon, client):
    def ops():
        return daemon.ctl_json("stats", "d")["disks"][0]["ops"]

    source, back = sparse_file(os.path.join(directory, "source.img"), SIZE, 30), os.path.join(directory, "back.img")
    client.img("convert", "-n", "-f", "raw", "--target-image-opts", source, client.node)
    assert digest(os.path.join(directory, "export.img")) == digest(source)
    before = ops()
    client.img("convert", "--image-opts", "-O", "raw", client.node, back)
    assert digest(back) == digest(source)
    assert ops()["extents"]["requests"] > before["extents"]["requests"]
    assert 0 < ops()["read"]["bytes"] - before["read"]["bytes"] < SIZE // 2


def test_compare(directory, client):
    source = f"driver=raw,file.driver=file,file.filename={sparse_file(os.path.join(directory, 'source.img'), SIZE, 30)}"
    client.img("convert", "-n", "--image-opts", "--target-image-opts", source, client.node)
    client.img("compare", "--image-opts", source, client.node)
    client.io(f"write -P 0x21 {SIZE - 7} 1")
    output = run("qemu-img", "compare", *client.objects, "--image-opts", source, client.node, status=1)
    assert f"mismatch at offset {SIZE - 512}" in output, output


def test_map_has_what_was_written(client):
    client.io("write -P 7 16M 1M", "write -P 8 40000001 3", "discard 0 1M", "write -z -u 16M 512k", "flush",
              "read -P 0 16M 512k", "read -P 7 16896k 512k", "read -P 8 40000001 3")
    assert [(offset, length) for offset, length, data in client.map() if data] == [
        (16 * MIB + MIB // 2, MIB // 2), (40000001 // 4096 * 4096, 4096)]


def test_dirty_bitmaps(daemon, client):
    """Each is of what was written since its mark was set, in granules of 64 KiB."""
    lots = random.Random(11)
    changed = {}
    for mark in "one", "two":
        daemon.ctl("mark", "d", mark)
        changed[mark] = set()
        for _ in range(10):
            offset, length = lots.randrange(SIZE - MIB), lots.choice([1, 4096, 100000, MIB])
            client.io(f"write -P 0x5a {offset} {length}")
            for dirty in changed.values():
                dirty.update(range(offset // 65536, (offset + length - 1) // 65536 + 1))
    for mark, dirty in changed.items():
        parts = [(offset, length) for offset, length, data in client.map(mark) if not data]
        assert {granule for offset, length in parts for granule in range(offset // 65536, (offset + length) // 65536)} == dirty
        assert sum(length for _, length in parts) == len(dirty) * 65536
    assert changed["two"] < changed["one"]


def test_a_bitmap_that_is_not_there(daemon):
    client = Client(daemon, x509())
    client.node += ",x-dirty-bitmap=qemu:dirty-bitmap:nobody"
    assert "qemu:dirty-bitmap:nobody" in client.refused()


# --- What is refused, and what either side says


@pytest.fixture
def without_identity(directory):
    folder = os.path.join(directory, "pki")
    os.mkdir(folder)
    shutil.copy(os.path.join(CERTIFICATES, "ca-cert.pem"), folder)
    return folder


def test_without_tls(daemon):
    text = Client(daemon, None).refused()
    assert "this server wants TLS first" in text and "tls-creds" in text


def test_an_authority_that_the_client_does_not_know(directory, without_identity):
    """It shows nothing that the server could refuse first, which may be all that it would say then."""
    shutil.copy(os.path.join(STRANGERS, "ca-cert.pem"), without_identity)
    with Daemon(directory, "d=ram:1M", tcp=True, tls=False, options=tls_support.options()) as daemon:
        assert "The certificate hasn't got a known issuer" in Client(daemon, x509(without_identity)).refused()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_host_that_the_certificate_is_not_for(daemon, transport):
    assert "Certificate does not match the hostname elsewhere" in Client(daemon, x509(), transport, "elsewhere").refused()
    Client(daemon, x509(), transport, "localhost").map()


def test_a_client_without_a_certificate(daemon, without_identity):
    Client(daemon, x509(without_identity)).refused()
    is_logged(daemon, "TLS: peer did not return a certificate")


def test_a_certificate_of_another_authority(daemon, without_identity):
    """With the right one's in the file, too: qemu looks at its own first."""
    with open(os.path.join(without_identity, "ca-cert.pem"), "a", encoding="ascii") as ours:
        with open(os.path.join(STRANGERS, "ca-cert.pem"), encoding="ascii") as theirs:
            ours.write(theirs.read())
    for name in "client-cert.pem", "client-key.pem":
        shutil.copy(os.path.join(STRANGERS, name), without_identity)
    Client(daemon, x509(without_identity)).refused()
    is_logged(daemon, "TLS: unable to get local issuer certificate")


def test_a_wrong_key(daemon):
    assert "TLS handshake failed" in Client(daemon, psk(STRANGERS)).refused()
    is_logged(daemon, "TLS: binder does not verify")


# --- qemu-storage-daemon


@contextlib.contextmanager
def served_on(directory, client):
    """What CLIENT gets, as an export "on" of a qemu-storage-daemon: its address."""
    path, pid, said = (os.path.join(directory, name) for name in ("on.sock", "on.pid", "on.log"))
    with open(said, "wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "qemu-storage-daemon", "--pidfile", pid, *client.objects,
             "--blockdev", f"{client.node},node-name=upstream", "--nbd-server", f"addr.type=unix,addr.path={path}",
             "--export", "type=nbd,id=e,node-name=upstream,name=on,writable=on"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: os.path.exists(pid) or process.poll() is not None, "qemu-storage-daemon starts")
        with open(said, encoding="utf-8", errors="replace") as file:
            assert process.poll() is None, file.read()
        yield f"nbd+unix:///on?socket={path}"
    finally:
        end_process(process, signal.SIGTERM)


def test_storage_daemon_serves_on_what_it_gets(directory, daemon, client):
    source = sparse_file(os.path.join(directory, "source.img"), SIZE, 30)
    with served_on(directory, client) as again:
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, again)
        assert digest(os.path.join(directory, "export.img")) == digest(source)
        run("qemu-io", "-f", "raw", "-c", "write -P 0x42 1000001 300000", "-c", "write -z 8M 1M", "-c", "discard 32M 16M",
            "-c", "flush", again)
        run("nbdcopy", again, os.path.join(directory, "copy"))
        assert daemon.ctl_json("clients")["clients"][0]["tls"]["version"] == "TLSv1.3"
    client.io("read -P 0x42 1000001 300000", "read -P 0 8M 1M")
    assert digest(os.path.join(directory, "copy")) == digest(os.path.join(directory, "export.img"))


def test_storage_daemon_tells_where_the_holes_are(directory, client):
    with served_on(directory, client) as again:
        run("qemu-io", "-f", "raw", "-c", "write -P 1 16M 1M", "-c", "write -P 2 48M 64k", again)
        parts = json.loads(run("nbdinfo", "--json", "--map=base:allocation", again))
        # 0 is data, 3 a hole that reads as zeroes.
        assert [(part["offset"], part["length"], part["type"]) for part in parts] == [
            (0, 16 * MIB, 3), (16 * MIB, MIB, 0), (17 * MIB, 31 * MIB, 3), (48 * MIB, 65536, 0),
            (48 * MIB + 65536, 16 * MIB - 65536, 3)]
    assert [part for part in client.map() if part[2]] == [(16 * MIB, MIB, True), (48 * MIB, 65536, True)]


def test_storage_daemon_is_refused_with_a_reason(directory, daemon):
    with pytest.raises(AssertionError, match="Certificate does not match the hostname elsewhere"):
        with served_on(directory, Client(daemon, x509(), host="elsewhere")):
            pass
