# SPDX-License-Identifier: BSD-2-Clause
"""TLS (specification, "TLS support"): who gets it when, what is forgotten, and what goes through it."""

import os
import random
import socket
import ssl
import struct
import subprocess
import warnings

import pytest

import tls_support
from baseline import leaves_nothing
from daemon import SANITIZED, Daemon, wait_for
from shared import own_daemon
from tls_support import listed, refused, secured, starttls_proxy
from wire_client import (CMD_BLOCK_STATUS, CMD_READ, ERR_INVALID, ERR_POLICY, ERR_TLS_REQD, ERR_UNKNOWN, ERR_UNSUP, FIXED_NEWSTYLE,
                         NO_ZEROES, OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED_HEADERS, OPT_GO, OPT_INFO, OPT_LIST, OPT_LIST_META_CONTEXT,
                         OPT_SET_META_CONTEXT, OPT_STARTTLS, OPT_STRUCTURED_REPLY, REP_ACK, SEND_DF, Closed, Wire,
                         context_data, go_data, option, request)

KIB, MIB = 1 << 10, 1 << 20
CERTIFICATES = tls_support.certificates()
STRANGERS = tls_support.certificates("strangers")
CLIENT = tls_support.context(CERTIFICATES)
OPTIONS = tls_support.options()
EXPORTS = ["open=ram:64M", "secret=ram:4M,tls", "other=null:1G"]


def daemon_with(*options):
    @pytest.fixture(scope="module", params=["1", "2"], ids=["one reactor", "two reactors"])
    def daemon(request):
        with own_daemon(*EXPORTS, options=[*OPTIONS, *options, "--threads", request.param], tls=False) as running:
            with leaves_nothing(running) if "--tls=on" in options else no_check():
                yield running
    return daemon


class no_check:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


required = daemon_with()
selective = daemon_with("--tls=on")


@pytest.fixture(scope="module")
def plain():
    with own_daemon("open=ram:64M", tls=False) as running:
        yield running


# --- Before TLS


def test_a_server_without_tls_says_so(plain):
    with Wire(plain) as wire:
        wire.flags()
        assert wire.option(OPT_STARTTLS)[0][0] == ERR_POLICY
        assert wire.option(OPT_GO, go_data(b"open"))[-1][0] == REP_ACK


@pytest.mark.parametrize("length", [1, 4096, 100000])
def test_starttls_takes_no_data(required, length):
    with Wire(required) as wire:
        wire.flags()
        assert wire.option(OPT_STARTTLS, bytes(length))[0][0] == ERR_INVALID
        wire.starttls(CLIENT)
        assert listed(wire) == [b"open", b"secret", b"other"]


@pytest.mark.parametrize("number, data", [
    (OPT_LIST, b""), (OPT_LIST, b"x"), (OPT_INFO, go_data(b"open")), (OPT_GO, go_data(b"open")), (OPT_GO, go_data(b"nobody")),
    (OPT_GO, b""), (OPT_STRUCTURED_REPLY, b""), (OPT_LIST_META_CONTEXT, context_data(b"open")), (99, b""), (99, bytes(500))])
def test_required_means_for_every_option(required, number, data):
    with Wire(required) as wire:
        wire.flags()
        assert wire.option(number, data)[0][0] == ERR_TLS_REQD
        wire.starttls(CLIENT)
        assert wire.option(OPT_GO, go_data(b"open"))[-1][0] == REP_ACK
        assert len(wire.read(0, 512)) == 512


def test_abort_is_answered_without_tls(required):
    with Wire(required) as wire:
        wire.flags()
        assert wire.option(OPT_ABORT) == [(REP_ACK, b"")]
        assert wire.closed()


def test_export_name_without_tls_ends_the_session(required, selective):
    for daemon, name in ((required, b"open"), (selective, b"secret")):
        with Wire(daemon) as wire:
            wire.flags()
            wire.send(option(OPT_EXPORT_NAME, name))
            assert wire.closed()


def test_who_cannot_have_tls(required, selective):
    """Without "fixed newstyle" there is none."""
    with Wire(required) as wire:
        wire.flags(0)
        assert wire.closed()
    with Wire(selective) as wire:
        wire.flags(0)
        assert wire.option(OPT_STARTTLS)[0][0] == ERR_POLICY
        assert wire.option(OPT_GO, go_data(b"secret"))[0][0] == ERR_UNKNOWN


def test_exports_for_tls_are_as_unknown_ones(selective):
    with Wire(selective) as wire:
        wire.flags()
        assert listed(wire) == [b"open", b"other"]
        for number in (OPT_INFO, OPT_GO):
            (secret,), (nobody,) = wire.option(number, go_data(b"secret")), wire.option(number, go_data(b"nobody"))
            assert secret == nobody and secret[0] == ERR_TLS_REQD
        assert wire.option(OPT_STRUCTURED_REPLY)[0][0] == REP_ACK
        for number in (OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT):
            secret, nobody = (wire.option(number, context_data(name, [b"base:allocation"])) for name in (b"secret", b"nobody"))
            assert secret[0][0] == nobody[0][0] == ERR_UNKNOWN
            assert secret[0][1].replace(b"secret", b"nobody") == nobody[0][1]
        assert wire.option(OPT_GO, go_data(b"open"))[-1][0] == REP_ACK


def test_the_default_export_is_the_first_that_one_may_know():
    with own_daemon("secret=ram:1M,tls", "open=ram:2M", options=[*OPTIONS, "--tls=on"], tls=False) as daemon:
        with Wire(daemon) as wire:
            assert wire.go(b"").size == 2 * MIB
        with Wire(daemon) as wire:
            wire.tls = CLIENT
            assert wire.go(b"").size == MIB
    with own_daemon("secret=ram:1M,tls", options=[*OPTIONS, "--tls=on"], tls=False) as daemon, Wire(daemon) as wire:
        wire.flags()
        assert wire.option(OPT_GO, go_data(b""))[0][0] == ERR_TLS_REQD


def test_exports_that_nobody_can_use_are_told(directory):
    exports = ["secret=ram:1M,tls", "open=ram:1M"]
    with Daemon(directory, *exports, options=[*OPTIONS, "--tls=off"], tls=False) as daemon:
        assert daemon.log().count("nobody can use it") == 1
        assert "secret: nobody can use it: it is for clients with TLS, and no address has that" in daemon.log()
    elsewhere = f"unix:{directory}/other.sock,tls=on"
    with Daemon(directory, *exports, options=[*OPTIONS, "--tls=off", "--listen", elsewhere], tls=False) as daemon:
        assert "nobody can use it" not in daemon.log()


def test_partitions_are_as_secret_as_their_disk(directory):
    image = os.path.join(directory, "disk")
    with open(image, "wb") as file:
        file.truncate(8 * MIB)
    subprocess.run(["sfdisk", "-q", image], input="label: gpt\nstart=2048, size=4096\n", text=True, check=True)
    with Daemon(directory, f"vm={image},tls,partitions", options=[*OPTIONS, "--tls=on"], tls=False) as daemon:
        with Wire(daemon) as wire:
            wire.flags()
            assert listed(wire) == []
            wire.starttls(CLIENT)
            assert listed(wire) == [b"vm", b"vmp1"]


# --- The change


@pytest.mark.parametrize("behind", [option(OPT_LIST), option(OPT_STRUCTURED_REPLY) + option(OPT_LIST), b"\0"],
                         ids=["an option", "two options", "a byte"])
def test_plain_text_behind_starttls_ends_the_session(required, behind):
    with Wire(required) as wire:
        wire.flags()
        wire.send(option(OPT_STARTTLS) + behind)
        assert wire.option_reply() == (OPT_STARTTLS, REP_ACK, b"")
        assert wire.closed()
    with secured(required, export=b"open") as wire:
        assert len(wire.read(0, 512)) == 512


RUBBISH = {"a zero": bytes(1), "zeroes": bytes(5000), "a record that is too long": b"\x16\x03\x01\xff\xff" + bytes(70000),
           "noise": random.Random(1).randbytes(1000), "an option": option(OPT_LIST)}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
def test_what_is_no_handshake_ends_the_session(selective, rubbish):
    with Wire(selective) as wire:
        wire.flags()
        assert wire.option(OPT_STARTTLS) == [(REP_ACK, b"")]
        try:
            wire.send(rubbish)
            wire.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while True:
            try:
                wire.receive(1)
            except (Closed, OSError):
                break


@pytest.mark.parametrize("length", [0, 1, 5, 100])
def test_who_hangs_up_in_the_handshake_leaves_nothing(selective, length):
    """The first bytes of a real one."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        CLIENT.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    for _ in range(20):
        with Wire(selective) as wire:
            wire.flags()
            assert wire.option(OPT_STARTTLS) == [(REP_ACK, b"")]
            wire.send(hello[:length])


def test_what_was_negotiated_before_is_forgotten(selective):
    with Wire(selective) as wire:
        wire.flags()
        assert wire.option(OPT_STRUCTURED_REPLY)[0][0] == REP_ACK
        assert wire.set_contexts(b"open", [b"base:allocation"])
        assert wire.option(OPT_INFO, go_data(b"open"))[-1][0] == REP_ACK
        wire.structured = False
        wire.starttls(CLIENT)
        assert wire.option(OPT_SET_META_CONTEXT, context_data(b"open", [b"base:allocation"]))[0][0] == ERR_INVALID
        replies = wire.option(OPT_GO, go_data(b"open"))
        flags = next(struct.unpack(">HQH", data)[2] for _, data in replies if data[:2] == b"\0\0")
        assert not flags & SEND_DF
        # Simple replies, and no block status.
        assert wire.command(CMD_READ, 0, 512)[0] == 0
        assert wire.command(CMD_BLOCK_STATUS, 0, 512)[0] == 22


def test_extended_headers_from_before_are_forgotten(selective):
    with Wire(selective) as wire:
        wire.flags()
        assert wire.option(OPT_EXTENDED_HEADERS) == [(REP_ACK, b"")]
        assert wire.set_contexts(b"open", [b"base:allocation"])
        wire.extended = False
        wire.starttls(CLIENT)
        # With them it would be refused.
        assert wire.option(OPT_STRUCTURED_REPLY) == [(REP_ACK, b"")]
        assert wire.option(OPT_GO, go_data(b"open"))[-1][0] == REP_ACK
        assert wire.read_chunks(0, 512)
        assert wire.command(CMD_BLOCK_STATUS, 0, 512)[0] == 22


def test_a_second_starttls_is_refused_and_nothing_wants_tls_any_more(required):
    with secured(required) as wire:
        assert wire.option(OPT_STARTTLS)[0][0] == ERR_INVALID
        assert wire.option(OPT_STARTTLS, b"x")[0][0] == ERR_INVALID
        assert wire.option(OPT_GO, go_data(b"nobody"))[0][0] == ERR_UNKNOWN
        assert wire.option(99)[0][0] == ERR_UNSUP
        assert wire.option(OPT_GO, go_data(b"secret"))[-1][0] == REP_ACK


# --- Versions and identities


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions(required, version):
    number = getattr(ssl.TLSVersion, version)
    with secured(required, tls_support.context(CERTIFICATES, minimum_version=number, maximum_version=number), b"open") as wire:
        assert wire.socket.version() == version.replace("_", ".")
        assert wire.write(0, b"v" * 40000) == 0
        assert wire.read(0, 40000) == b"v" * 40000
        # A resumption would need these.
        assert not wire.socket.session.has_ticket or wire.socket.session.ticket_lifetime_hint == 0
        assert wire.socket.compression() is None


def test_nothing_older(required):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = tls_support.context(CERTIFICATES, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        secured(required, old)


def test_tls_1_3_and_aes_128_by_choice(required):
    with secured(required, export=b"open") as wire:
        assert wire.socket.cipher()[:2] == ("TLS_AES_128_GCM_SHA256", "TLSv1.3")


def test_without_verify_peer_anybody_may_come(required):
    with secured(required, tls_support.context(CERTIFICATES, identity=False), b"open") as wire:
        assert len(wire.read(0, 512)) == 512


def test_a_certificate_of_somebody_else_is_refused(required):
    assert refused(required, tls_support.context(STRANGERS, authority=CERTIFICATES))
    assert not refused(required, CLIENT)


def test_verify_peer():
    with own_daemon("open=ram:1M", options=[*OPTIONS, "--tls-verify-peer"], tls=False) as daemon:
        assert refused(daemon, tls_support.context(CERTIFICATES, identity=False))
        assert refused(daemon, tls_support.context(STRANGERS, authority=CERTIFICATES))
        assert not refused(daemon, CLIENT)
        wait_for(lambda: "peer did not return a certificate" in daemon.ctl("dmesg"), "the reason is in the log")


@pytest.mark.parametrize("length", [0, 64 * KIB, 4 * MIB])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_who_is_refused_hears_why(directory, length, tcp):
    """With TLS 1.3 a client may send before it knows; what the server doesn't read of that must not take the alert from it."""
    with Daemon(directory, "open=ram:1M", options=[*OPTIONS, "--tls-verify-peer", "-v"], tls=False, tcp=tcp) as daemon:
        for _ in range(5):
            with secured(daemon, tls_support.context(CERTIFICATES, identity=False), tcp=tcp) as wire:
                wire.send(bytes(length))
                with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                    wire.socket.recv(1)
        wait_for(lambda: daemon.log().count("connection closed: TLS: peer did not return a certificate") == 5, "each is told once")
        wait_for(lambda: not daemon.ctl_json("clients")["clients"], "nothing is left of them")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_that_only_says_goodbye_in_the_handshake(directory, version):
    """As nbd-client does when it doesn't trust the server: OpenSSL has no error for that."""
    number = getattr(ssl.TLSVersion, version)
    client = tls_support.context(CERTIFICATES, minimum_version=number, maximum_version=number)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    with Daemon(directory, "open=ram:1M", options=[*OPTIONS, "-v"], tls=False) as daemon, Wire(daemon) as wire:
        wire.flags()
        assert wire.option(OPT_STARTTLS) == [(REP_ACK, b"")]
        wire.send(outgoing.read())
        assert wire.receive(1) == b"\x16"
        wire.send(b"\x15\x03\x03\0\x02\x01\0")
        wait_for(lambda: "TLS: the client broke the handshake off" in daemon.log(), "the log says what happened")


def test_what_was_revoked_is_refused(tmp_path):
    directory = tls_support.make(str(tmp_path / "pki"))
    context = tls_support.context(directory)
    config = tmp_path / "ca.cnf"
    config.write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={tmp_path}/index\ndefault_md=sha256\ndefault_crl_days=30\n")
    (tmp_path / "index").write_text("")

    def ca(*arguments):
        subprocess.run(["openssl", "ca", "-config", config, "-cert", directory + "/ca-cert.pem", "-keyfile",
                        directory + "/ca-key.pem", *arguments], check=True, capture_output=True)

    ca("-gencrl", "-out", directory + "/ca-crl.pem")
    with own_daemon("open=ram:1M", options=["--tls-certificates", directory], tls=False) as daemon:
        assert not refused(daemon, context)
    ca("-revoke", directory + "/client-cert.pem")
    ca("-gencrl", "-out", directory + "/ca-crl.pem")
    with own_daemon("open=ram:1M", options=["--tls-certificates", directory], tls=False) as daemon:
        assert refused(daemon, context)
        wait_for(lambda: "certificate revoked" in daemon.ctl("dmesg"), "the reason is in the log")


# --- Data


@pytest.mark.parametrize("length", [1, 511, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 256 * KIB, 256 * KIB + 13, MIB, 32 * MIB])
@pytest.mark.parametrize("offset", [0, 4097])
def test_lengths(required, length, offset):
    data = os.urandom(min(length, MIB)) * max(1, length // MIB)
    with secured(required, export=b"open") as wire:
        assert wire.write(offset, data) == 0
        assert wire.read(offset, len(data)) == data


def test_a_batch(required):
    with secured(required, export=b"open") as wire:
        assert wire.write(0, b"".join(bytes([n]) * 4096 for n in range(200))) == 0
        wire.send(b"".join(request(CMD_READ, n * 4096, 4096, cookie=n) for n in range(200)))
        answers = {}
        for _ in range(200):
            error, cookie, data = wire.reply(4096)
            assert error == 0
            answers[cookie] = data
        assert answers == {n: bytes([n]) * 4096 for n in range(200)}


def test_bytes_one_by_one(required):
    """A record each."""
    with secured(required, export=b"open") as wire:
        for byte in request(CMD_READ, 0, 16) + request(1, 4096, 5, cookie=2, payload=b"bytes"):
            wire.send(bytes([byte]))
        assert wire.reply(16)[:2] == (0, 1)
        assert wire.reply()[:2] == (0, 2)
        assert wire.read(4096, 5) == b"bytes"


def test_goodbye_is_said_in_tls(required):
    """So that nobody can cut the end off unnoticed: without it this socket would raise an error."""
    with secured(required, export=b"open") as wire:
        wire.send(request(CMD_READ, 0, 4096, cookie=9) + request(2))
        assert wire.reply(4096)[:2] == (0, 9)
        assert wire.socket.recv(1) == b""
    with secured(required) as wire:
        assert wire.option(OPT_ABORT) == [(REP_ACK, b"")]
        assert wire.socket.recv(1) == b""


def test_a_client_that_goes_without_a_word(required):
    """Its connection goes, too, though replies could not be sent, nor goodbye be said."""
    def connections():
        return required.stats()["connections"]

    wait_for(lambda: connections() == 0, "all earlier clients have gone")
    for _ in range(10):
        with secured(required, export=b"open") as wire:
            wire.send(b"".join(request(CMD_READ, 0, 8 * MIB, cookie=n) for n in range(4)))
            wire.receive(1)
            wire.socket.close()
    wait_for(lambda: connections() == 0, "these have gone")
    with secured(required, export=b"open") as wire:
        assert len(wire.read(0, 512)) == 512


@pytest.mark.parametrize("pieces", [[600, 600, 600], [1024, 1], [1025], [5000]])
def test_a_hello_in_pieces_with_more_behind_it(selective, pieces):
    """What comes while the server's answer is on its way waits its turn."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        CLIENT.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    # A record that isn't whole follows.
    stream = outgoing.read() + b"\x17\x03\x03\x40\x00" + bytes(10000)
    for _ in range(10):
        with Wire(selective) as wire:
            wire.flags()
            assert wire.option(OPT_STARTTLS) == [(REP_ACK, b"")]
            at = 0
            for piece in pieces:
                wire.send(stream[at:at + piece])
                at += piece
            assert wire.receive(1) == b"\x16"
    with secured(selective, export=b"open") as wire:
        assert len(wire.read(0, 512)) == 512


def test_small_records_for_those_that_want_them(required):
    """openssl's client asks for fragments of 512 bytes and gets its answers in them."""
    with starttls_proxy(required) as port:
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-maxfraglen", "512", "-CAfile",
                                   os.path.join(CERTIFICATES, "ca-cert.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        try:
            client.stdin.write(option(OPT_GO, go_data(b"open")) + request(CMD_READ, 0, 100000, cookie=5))
            client.stdin.flush()
            answer = b""
            while len(answer) < 100000:
                part = os.read(client.stdout.fileno(), 1 << 20)
                assert part
                answer += part
        finally:
            client.kill()
            client.wait()


def test_the_end_of_the_server(directory):
    with Daemon(directory, "open=ram:1M", options=OPTIONS, tls=False) as daemon:
        wire = secured(daemon, export=b"open")
        assert wire.write(0, b"last") == 0
        assert daemon.stop() == 0
        assert wire.socket.recv(1) == b""


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is its own")
def test_an_idle_connection_costs_at_most_48_kib(directory):
    with Daemon(directory, "open=ram:1M", options=OPTIONS, tls=False) as daemon:
        first = [secured(daemon, export=b"open") for _ in range(10)]
        before = daemon.memory()
        idle = [secured(daemon, export=b"open") for _ in range(200)]
        for wire in idle:
            assert wire.write(0, bytes(256 * KIB)) == 0
        wait_for(lambda: daemon.memory() - before <= 200 * 48 * KIB, "what the data took is given back")
        for wire in first + idle:
            wire.socket.close()
