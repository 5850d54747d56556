# SPDX-License-Identifier: BSD-2-Clause
"""Kernel TLS where there is none, or some: what clients notice of it is nothing.  A kernel that has it is in tests/vm."""

import contextlib
import os
import re
import socket
import subprocess

import pytest

import tls_support
from daemon import PATIENCE, Daemon, wait_for
from shared import own_daemon
from tls_support import secured

TLS_CLIENT = os.environ.get("TLS_CLIENT", "./tests/wire/tls_client")
AUTHORITY = os.path.join(tls_support.certificates(), "ca-cert.pem")
OPTIONS = [*tls_support.options(), "-vv"]
SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


def kernel_does_tls(when):
    mature = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 5)
    if when == "off" or (when == "auto" and not mature):
        return False
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        try:
            client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError:
            return False
        return True


@pytest.fixture(scope="module", params=["auto", "on", "off"])
def ktls(request):
    return request.param


@pytest.fixture(scope="module", params=["1", "2"], ids=["one reactor", "two reactors"])
def daemon(request, ktls):
    with own_daemon("open=ram:1M", options=[*OPTIONS, "--ktls", ktls, "--threads", request.param], tcp=True, tls=False) as running:
        yield running


def run(daemon, act, suite=SUITES[0]):
    done = subprocess.run([TLS_CLIENT, str(daemon.port), AUTHORITY, "open", act], stdout=subprocess.PIPE, text=True, timeout=PATIENCE,
                          env={**os.environ, "TLS_SUITE": suite}, stdin=subprocess.DEVNULL, check=True)
    return done.stdout.split()


@contextlib.contextmanager
def acting(daemon, act):
    with subprocess.Popen([TLS_CLIENT, str(daemon.port), AUTHORITY, "open", act], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as client:
        try:
            assert client.stdout.readline() == "ready\n"
            yield client
            client.stdin.close()
            assert client.stdout.read() == "goodbye\n"
            assert client.wait(PATIENCE) == 0
        finally:
            client.kill()


def wait_until_nobody_is_there(daemon):
    wait_for(lambda: not daemon.ctl_json("clients")["clients"], "all have gone")


def test_clients_tells_who_does_tls(daemon, ktls):
    wait_until_nobody_is_there(daemon)
    expected = kernel_does_tls(ktls)
    with acting(daemon, "hold"):
        # The kernel takes over when the connection has nothing to do.
        wait_for(lambda: daemon.ctl_json("clients")["clients"][0]["tls"]["kernel"] == expected, "it is as it should be")
        headings, line = (text.split() for text in daemon.ctl("clients").splitlines())
        assert line[headings.index("KTLS")] == ("yes" if expected else "no")
        assert line[headings.index("TLS")] == "TLSv1.3" and line[headings.index("CIPHER")] == SUITES[0]
    if ktls == "on" and not expected:
        assert "no kernel TLS: " in daemon.log()


def test_a_unix_socket_stays_with_us(daemon, ktls):
    wait_until_nobody_is_there(daemon)
    with secured(daemon, export=b"open") as wire:
        assert wire.write(0, b"here") == 0
        assert daemon.ctl_json("clients")["clients"][0]["tls"]["kernel"] is False
    if ktls == "on":
        assert "no kernel TLS: Operation not supported" in daemon.log()


@pytest.mark.parametrize("suite", SUITES)
def test_requests_ahead_of_the_answer_to_go(daemon, suite):
    """The last one breaks off in its record: what follows is the place to change over at."""
    assert run(daemon, "early", suite) == ["answered"]


def test_what_is_no_data(daemon, ktls):
    assert run(daemon, "update") == (["ended"] if kernel_does_tls(ktls) else ["answered"])
    assert run(daemon, "flood") == ["ended"]
    assert run(daemon, "torrent") == ["ended"]
    assert run(daemon, "alert") == ["ended"]
    assert run(daemon, "corrupt") == ["ended"]
    wait_until_nobody_is_there(daemon)


@pytest.mark.parametrize("suite", SUITES)
def test_keys_are_changed_again_and_again(daemon, ktls, suite):
    if kernel_does_tls(ktls):
        pytest.skip("the kernel cannot follow")
    assert run(daemon, "updates", suite) == ["answered"]


def test_the_end_of_the_server(directory, ktls):
    with Daemon(directory, "open=ram:1M", options=[*OPTIONS, "--ktls", ktls], tcp=True, tls=False) as daemon:
        with acting(daemon, "wait"):
            assert daemon.stop() == 0
