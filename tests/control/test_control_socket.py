# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: lines of JSON, good and bad, and who may do what."""

import os
import socket
import stat
import subprocess
import sys

import pytest

from control_client import ControlClient
from daemon import PLATTERD, SANITIZED, Daemon, wait_for


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:1M") as running:
        yield running


def test_an_answer_carries_its_request_s_id(daemon):
    with ControlClient(daemon) as client:
        for line, identity in (('{"id":7,"method":"version"}', 7), ('{"id":"x","method":"version"}', "x"),
                               ('{"id":[1,{"a":null}],"method":"version"}', [1, {"a": None}])):
            client.send(line + "\n")
            assert client.receive()["id"] == identity
        client.send('{"method":"version"}\n')
        answer = client.receive()
        assert "id" not in answer
        assert answer["result"]["pid"] == daemon.pid and answer["result"]["may_change"] is True


def test_several_requests_in_one_piece_and_one_in_several(daemon):
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"version"}\n{"id":2,"method":"version"}\n{"id":3,"me')
        assert [client.receive()["id"] for _ in range(2)] == [1, 2]
        client.send('thod":"version"}\n')
        assert client.receive()["id"] == 3


@pytest.mark.parametrize("line, code", [
    ("", "EPROTO"), ("{", "EPROTO"), ("[]", "EPROTO"), ("7", "EPROTO"), ("\xff", "EPROTO"), ("{}x", "EPROTO"),
    ('{"method":"version","method":"version"}', "EPROTO"), ('{"method":"version"\0}', "EPROTO"),
    ("{}", "EINVAL"), ('{"method":7}', "EINVAL"), ('{"method":"version","params":[]}', "EINVAL"),
    ('{"method":"export.add"}', "EINVAL"), ('{"method":"export.add","params":{"spec":7}}', "EINVAL"),
    ('{"method":"export.add","params":{"spec":"ram:1M","more":1}}', "EINVAL"),
    ('{"method":"export.remove","params":{"name":"a","drain":-1}}', "EINVAL"),
    ('{"method":"export.remove","params":{"name":"a","drain":86401}}', "EINVAL"),
    ('{"method":"disks","params":{"more":1}}', "EINVAL"), ('{"method":"watch"}', "EINVAL"), ('{"method":"nothing"}', "ENOSYS"), ('{"method":""}', "ENOSYS"),
    ('{"method":"' + "x" * 5000 + '"}', "ENOSYS"), ("[" * 3000, "EPROTO"),
])
def test_a_bad_line_gets_an_error_and_the_next_one_is_served(daemon, line, code):
    with ControlClient(daemon) as client:
        client.send(line.encode("latin-1") + b"\n")
        error = client.receive()["error"]
        assert error["code"] == code and error["message"] and "\n" not in error["message"]
        assert client.result("version")
        assert client.result("exports")["exports"][0]["name"] == "a"


def test_an_endless_line_ends_the_connection(daemon):
    with ControlClient(daemon) as client:
        before = daemon.memory()
        with pytest.raises(OSError):
            while True:
                client.send(b"x" * 65536)
        assert SANITIZED or daemon.memory() < before + (8 << 20)
    with ControlClient(daemon) as client:
        assert client.result("version")


def test_a_line_of_nearly_a_mebibyte_is_read(daemon):
    with ControlClient(daemon) as client:
        client.send('{"method":"version","ignored":"' + "x" * 1000000 + '"}\n')
        assert client.receive()["result"]


def test_too_many_administrators_are_told_so(daemon):
    clients = [ControlClient(daemon) for _ in range(64)]
    try:
        for client in clients:
            assert client.result("version")
        with ControlClient(daemon) as one_more:
            assert one_more.receive()["error"]["code"] == "EAGAIN"
            assert one_more.receive() is None
    finally:
        for client in clients:
            client.__exit__(None, None, None)

    def served():
        with ControlClient(daemon) as client:
            return "result" in client.call("version")

    wait_for(served, "a place is free again")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_those_who_only_look_keep_nobody_out(directory):
    os.chmod(directory, 0o755)
    with Daemon(directory, "a=ram:1M", options=["--control", f"{directory}/open.sock,mode=0666"]) as daemon:
        daemon.control = f"{directory}/open.sock"
        program = ("import socket, sys\n"
                   "all = [socket.socket(socket.AF_UNIX) for _ in range(64)]\n"
                   "for s in all: s.connect(sys.argv[1])\n"
                   "print('ready', flush=True); sys.stdin.read()\n")
        with subprocess.Popen(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", program, daemon.control],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout.readline() == "ready\n"
            assert daemon.ctl("exports")
            crowd.stdin.close()


def test_what_stands_behind_watch_is_never_done(daemon):
    with ControlClient(daemon) as client:
        client.send('{"method":"watch","params":{"events":true}}\n{"method":"export.remove","params":{"name":"a"}}\n')
        assert client.receive() == {"result": {}}
    descriptors = daemon.descriptors()
    daemon.ctl("export", "add", "b=ram:1M")
    wait_for(lambda: daemon.descriptors() <= descriptors, "the watcher is gone")
    assert "a" in daemon.ctl("exports")


def test_connections_leave_nothing_behind(daemon):
    with ControlClient(daemon) as client:
        client.result("version")
    descriptors = daemon.descriptors()
    for _ in range(200):
        with ControlClient(daemon) as client:
            client.send('{"method":"version"}\n')
    wait_for(lambda: daemon.descriptors() <= descriptors, "all descriptors are closed")


def test_one_that_hangs_keeps_nobody_from_being_served(daemon):
    with ControlClient(daemon) as silent, ControlClient(daemon) as half, ControlClient(daemon) as deaf:
        half.send('{"method":')
        deaf.send('{"method":"version"}\n' * 1000)
        with ControlClient(daemon) as client:
            assert client.result("version")
        assert daemon.stop() == 0
        assert silent.receive() is None


def test_the_socket_is_for_the_server_s_user_by_default(daemon):
    assert stat.S_IMODE(os.stat(daemon.control).st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_may_read_when_the_mode_lets_them_and_change_nothing(directory):
    os.chmod(directory, 0o755)
    with Daemon(directory, "a=ram:1M", options=["--control", f"{directory}/open.sock,mode=0666"]) as daemon:
        daemon.control = f"{directory}/open.sock"
        program = ("import json, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile('rw')\n"
                   "for m, p in (('exports', {}), ('export.add', {'spec': 'ram:1M'}), ('export.remove', {'name': 'a'})):\n"
                   "    f.write(json.dumps({'method': m, 'params': p}) + '\\n'); f.flush(); print(f.readline(), end='')\n")
        done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", program, daemon.control],
                              capture_output=True, text=True, check=True, timeout=60)
        first, *others = done.stdout.splitlines()
        assert '"name":"a"' in first
        assert len(others) == 2 and all('"code":"EACCES"' in line for line in others)
        assert [export["name"] for export in daemon.ctl_json("exports")["exports"]] == ["a"]


def test_a_second_server_on_the_same_socket_is_refused_by_name(daemon):
    done = subprocess.run([PLATTERD, "--control", daemon.control, "--listen", f"unix:{daemon.directory}/other.sock", "ram:1M"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert daemon.control in done.stderr and "another server listens there" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not os.path.exists(f"{daemon.directory}/other.sock")
    assert daemon.ctl("exports")


def test_a_dead_server_s_socket_is_taken_over(directory):
    path = os.path.join(directory, "control.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with Daemon(directory, "ram:1M") as daemon:
        assert "ram0" in daemon.ctl("exports")
        assert daemon.stop() == 0
    assert not os.path.exists(path)


@pytest.mark.parametrize("value", ["/nowhere/at/all.sock", "/tmp", "x,mode=9", "/" + "x" * 200])
def test_a_control_socket_that_cannot_be_had_is_one_clear_line(directory, value):
    done = subprocess.run([PLATTERD, "--control", value, "--listen", f"unix:{directory}/n.sock", "ram:1M"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1
    assert value.split(",")[-1] in done.stderr or value in done.stderr
    assert os.listdir(directory) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("runtime, said", [
    ("/nowhere", "no control socket: /nowhere/platter"), ("relative", "no absolute path"), ("/" + "x" * 200, "too long"),
])
def test_without_a_place_for_the_default_the_server_runs_all_the_same(directory, runtime, said):
    os.chmod(directory, 0o777)
    with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
        command = ["setpriv", "--reuid", "65534", "--clear-groups", PLATTERD, "--listen", f"unix:{directory}/n.sock"]
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        with subprocess.Popen([*command, "ram:1M"], stderr=log, env=environment) as process:
            wait_for(lambda: os.path.exists(f"{directory}/n.sock") or process.poll() is not None, "it listens")
            process.terminate()
            assert process.wait(60) == 0
        log.seek(0)
        text = log.read()
        assert said in text and "--control" in text
        nothing = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, timeout=60, check=False)
        assert nothing.returncode == 1 and "nothing to serve" in nothing.stderr


def test_the_default_is_in_the_user_s_runtime_directory(directory):
    os.chmod(directory, 0o777)
    environment = {"XDG_RUNTIME_DIR": directory}
    if os.geteuid() != 0:
        environment["PATH"] = os.environ["PATH"]
    command = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    with subprocess.Popen([*command, PLATTERD, "--listen", f"unix:{directory}/n.sock", "ram:1M"],
                          stderr=subprocess.DEVNULL, env={**os.environ, **environment}) as process:
        path = os.path.join(directory, "platter", "control.sock")
        # It listens when it is ready for signals; the control socket is there before.
        wait_for(lambda: os.path.exists(f"{directory}/n.sock") or process.poll() is not None, "it listens")
        assert os.path.exists(path)
        process.terminate()
        assert process.wait(60) == 0
        assert not os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_second_server_that_asked_for_no_socket_runs_without(directory):
    os.chmod(directory, 0o777)
    environment = {**os.environ, "XDG_RUNTIME_DIR": directory}

    def start(name):
        log = open(os.path.join(directory, name + ".log"), "wb")
        command = ["setpriv", "--reuid", "65534", "--clear-groups", PLATTERD, "--listen", f"unix:{directory}/{name}.sock", "ram:1M"]
        process = subprocess.Popen(command, stderr=log, env=environment)
        wait_for(lambda: os.path.exists(f"{directory}/{name}.sock") or process.poll() is not None, "it listens")
        return process

    first, second = start("first"), start("second")
    try:
        assert first.poll() is None and second.poll() is None
        with open(os.path.join(directory, "second.log"), encoding="utf-8") as log:
            assert f"no control socket: {directory}/platter/control.sock: another server has it" in log.read()
        second.terminate()
        assert second.wait(60) == 0
        # It takes nothing along that is the first one's.
        assert os.path.exists(f"{directory}/platter/control.sock")
    finally:
        for process in (first, second):
            process.terminate()
            process.wait(60)
