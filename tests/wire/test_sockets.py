# SPDX-License-Identifier: BSD-2-Clause
"""What the server listens on: the files of unix sockets, ports, and several addresses at once."""

import contextlib
import errno
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys

import pytest

from daemon import PLATTERD, Daemon, wait_for
from wire_client import Wire


def refused(*arguments):
    """The error of a server that doesn't start, and prints nothing else but what it listens on until then."""
    ended = subprocess.run([PLATTERD, "--control", "none", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    [line] = (line for line in ended.stderr.splitlines() if "listening on" not in line)
    return line


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_unix_socket_is_its_owners_by_default(directory):
    with Daemon(directory, "ram:1M") as daemon:
        assert stat.S_ISSOCK(os.stat(daemon.socket).st_mode)
        assert mode_of(daemon.socket) == 0o600


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o600, 0o777])
def test_a_unix_socket_has_the_mode_asked_for(directory, mode):
    path = os.path.join(directory, "other")
    with Daemon(directory, "ram:1M", options=["--listen", f"unix:{path},mode={mode:o}"]):
        assert mode_of(path) == mode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_unix_socket_goes_with_its_server(directory, number):
    with Daemon(directory, "ram:1M") as daemon:
        assert daemon.stop(number) == 0
        assert not os.path.exists(daemon.socket)


def test_the_socket_of_a_server_that_is_gone_is_replaced(directory):
    with Daemon(directory, "ram:1M") as daemon:
        daemon.stop(signal.SIGKILL)
        assert os.path.exists(daemon.socket)
    with Daemon(directory, "ram:1M") as daemon, Wire(daemon) as wire:
        assert wire.go().size == 1 << 20


def test_a_socket_in_use_is_refused(directory):
    with Daemon(directory, "ram:1M") as daemon:
        assert daemon.socket in refused("--listen", "unix:" + daemon.socket, "ram:2M")
        with Wire(daemon) as wire:
            assert wire.go().size == 1 << 20


def test_a_socket_of_a_stopped_server_with_a_full_backlog_is_in_use(directory):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Daemon(directory, "ram:1M") as daemon, contextlib.ExitStack() as waiting:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            full = False
            while not full:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                full = client.connect_ex(daemon.socket) == errno.EAGAIN
            assert daemon.socket in refused("--listen", "unix:" + daemon.socket, "ram:2M")
        finally:
            os.kill(daemon.pid, signal.SIGCONT)


def test_a_file_that_is_no_socket_is_refused_and_left_alone(directory):
    path = os.path.join(directory, "precious")
    with open(path, "w", encoding="ascii") as file:
        file.write("data")
    assert path in refused("--listen", "unix:" + path, "ram:1M")
    with open(path, encoding="ascii") as file:
        assert file.read() == "data"


def test_a_directory_is_refused_and_left_alone(directory):
    assert directory in refused("--listen", "unix:" + directory, "ram:1M")
    assert os.path.isdir(directory)


@pytest.mark.parametrize("path", ["missing/socket", "x" * 108, "x" * 5000])
def test_a_path_that_cannot_be_is_refused(directory, path):
    assert path[:50] in refused("--listen", f"unix:{directory}/{path}", "ram:1M")


def test_a_failure_leaves_no_socket_behind(directory):
    path = os.path.join(directory, "socket")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refused("--listen", "unix:" + path, "--listen", f"tcp:127.0.0.1:{taken.getsockname()[1]}", "ram:1M")
        assert str(taken.getsockname()[1]) in line
    assert os.listdir(directory) == []


def test_several_addresses_serve_the_same(directory):
    paths = [os.path.join(directory, str(n)) for n in range(5)]
    options = [part for path in paths for part in ("--listen", "unix:" + path)]
    with Daemon(directory, "ram:1M", options=[*options, "--listen", "tcp:127.0.0.1:0"], tcp=True) as daemon:
        ports = [int(port) for port in re.findall(r"listening on tcp:127\.0\.0\.1:(\d+)", daemon.log())]
        assert len(set(ports)) == 2
        with Wire(daemon) as wire:
            assert wire.go().write(0, b"the same") == 0
        for path in paths:
            daemon.socket = path
            with Wire(daemon) as wire:
                assert wire.go().read(0, 8) == b"the same"
        for port in ports:
            daemon.port = port
            with Wire(daemon, tcp=True) as wire:
                assert wire.go().read(0, 8) == b"the same"
    assert not any(os.path.exists(path) for path in paths)


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="there is no IPv6")
def test_an_ipv6_address(directory):
    with Daemon(directory, "ram:1M", options=["--listen", "tcp:[::1]:0"]) as daemon:
        port = int(re.search(r"listening on tcp:\[::1\]:(\d+)", daemon.log())[1])
        with socket.create_connection(("::1", port)) as connection:
            assert connection.recv(8) == b"NBDMAGIC"


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="there is no IPv6")
def test_every_ipv6_address(directory):
    with Daemon(directory, "ram:1M", options=["--listen", "tcp:[::]:0"]) as daemon:
        [port] = re.findall(r"listening on tcp:\[::\]:(\d+)", daemon.log())
        assert ("::", int(port)) in listening(daemon.pid)
        with socket.create_connection(("::1", int(port))) as connection:
            assert connection.recv(8) == b"NBDMAGIC"


def listening(pid):
    """The addresses and ports of TCP that somebody listens on, in the network namespace of PID."""
    found = set()
    for table, family in ("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:
            for local, state in ((line.split()[1], line.split()[3]) for line in list(lines)[1:]):
                address, port = local.split(":")
                # Words of 32 bits, as they lie in memory.
                words = b"".join(int(address[at:at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8))
                if state == "0A":
                    found.add((socket.inet_ntop(family, words), int(port, 16)))
    return found


def test_by_default_it_listens_on_this_machines_own_addresses(directory):
    """On the port of the protocol, which tests have for themselves only in a network namespace of their own."""
    alone = ["unshare", "--net", "sh", "-ec", 'ip link set lo up\nexec "$@"', "sh"]
    tried = subprocess.run([*alone, "cat", "/proc/net/if_inet6"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode and "if_inet6" not in tried.stderr:
        pytest.skip(f"no network namespaces here: {tried.stderr.strip()}")
    addresses = {"127.0.0.1"}
    if tried.stdout and "::1" in {info[4][0] for info in socket.getaddrinfo("localhost", None)}:
        addresses.add("::1")
    with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log, \
            subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *alone, PLATTERD, "--control", "none", "ram:1M"], stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: "reactor" in os.pread(log.fileno(), 4096, 0).decode() or process.poll() is not None, "platterd starts")
            assert listening(process.pid) == {(address, 10809) for address in addresses}
            for address in addresses:
                host = f"[{address}]" if ":" in address else address
                told = subprocess.run(["nsenter", "--target", str(process.pid), "--net", "nbdinfo", "--size", f"nbd://{host}"],
                                      capture_output=True, text=True, timeout=60, check=True)
                assert int(told.stdout) == 1 << 20
        finally:
            process.terminate()
        assert process.wait(60) == 0


def port_of_every_address(daemon):
    return int(re.search(r"listening on tcp:(?:\[::\]|0\.0\.0\.0):(\d+)", daemon.log())[1])


def test_every_address(directory):
    with Daemon(directory, "ram:1M", options=["--listen", "tcp:*:0"]) as daemon:
        hosts = ["127.0.0.1"] + (["::1"] if os.path.exists("/proc/net/if_inet6") else [])
        for host in hosts:
            with socket.create_connection((host, port_of_every_address(daemon))) as connection:
                assert connection.recv(8) == b"NBDMAGIC"


def test_every_address_of_a_machine_without_ipv6(directory):
    # The third socket: before it come those of the control and of the unix listener.
    strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=socket", "-e", "signal=none", "-e", "inject=socket:error=EAFNOSUPPORT:when=3"]
    with Daemon(directory, "ram:1M", options=["--listen", "tcp:*:0"], command=strace,
                environment={"ASAN_OPTIONS": "detect_leaks=0"}) as daemon:
        assert "0.0.0.0" in daemon.log() and "[::]" not in daemon.log()
        with socket.create_connection(("127.0.0.1", port_of_every_address(daemon))) as connection:
            assert connection.recv(8) == b"NBDMAGIC"


def test_a_port_of_a_server_that_just_ended_can_be_used_again(directory):
    with Daemon(directory, "ram:1M", tcp=True) as daemon:
        port = daemon.port
        with Wire(daemon, tcp=True) as wire:
            # The server closes first: its side of the connection stays in TIME_WAIT.
            wire.go()
            os.kill(daemon.pid, signal.SIGTERM)
            assert wire.closed()
        wait_for(lambda: not daemon.alive(), "it ends")
    with Daemon(directory, "ram:1M", options=["--listen", f"tcp:127.0.0.1:{port}"]) as daemon:
        assert f"127.0.0.1:{port}" in daemon.log()
