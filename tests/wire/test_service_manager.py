# SPDX-License-Identifier: BSD-2-Clause
"""Under a service manager: what it is told, sockets that it opened, the journal."""

import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import time

import nbd
import pytest

import tls_support
from config_support import Config
from daemon import PATIENCE, PLATTERCTL, PLATTERD, SANITIZED, TEXT, Daemon, wait_for
from modules_support import build, module
from wire_client import CMD_READ, Wire

MIB = 1 << 20
pytestmark = pytest.mark.skipif(b"sd_notify" not in TEXT, reason="platterd was built without libsystemd")


class Manager:
    """Listens at NOTIFY_SOCKET."""

    def __init__(self, directory, watchdog_us=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        path = os.path.join(directory, "notify.sock")
        self.socket.bind(path)
        self.environment = {"NOTIFY_SOCKET": path}
        if watchdog_us:
            self.environment["WATCHDOG_USEC"] = str(watchdog_us)

    def next(self):
        return self.socket.recv(4096).decode()

    def wait_for(self, wanted):
        """All up to the message that begins so."""
        messages = []
        while not messages or not messages[-1].startswith(wanted):
            messages.append(self.next())
        return messages

    def within(self, seconds):
        """What comes until it has been silent for so long, or that long after the first: a list."""
        messages = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.socket], [], [], left)[0]:
            messages.append(self.next())
        return messages


@pytest.fixture
def config(directory):
    return Config(directory)


def test_it_is_told_from_the_start_to_the_end(directory):
    manager = Manager(directory)
    with Daemon(directory, "a=ram:1M", environment=manager.environment) as daemon:
        manager.wait_for("READY=1")
        # Clients are let in by now.
        assert manager.next() == "STATUS=Serving 1 export, 0 clients"
        with Wire(daemon).go(b"a"):
            daemon.ctl("export", "add", "b=ram:1M")
            manager.wait_for("STATUS=Serving 2 exports, 1 client")
        assert daemon.stop() == 0
        messages = manager.wait_for("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=" in messages[-1]
        assert manager.next().startswith("STATUS=Finishing: ")


def test_it_is_not_ready_before_partition_tables_are_read(directory):
    """And asks for more time until then."""
    manager = Manager(directory)
    with Daemon(directory, "a=null:1G,open-delay=1500,partitions", environment=manager.environment):
        messages = manager.wait_for("READY=1")
        assert any(message.startswith("EXTEND_TIMEOUT_USEC=") for message in messages[:-1])


def test_what_keeps_it_from_starting_is_not_ready(directory):
    manager = Manager(directory)
    with pytest.raises(AssertionError):
        with Daemon(directory, "/nowhere.img", environment=manager.environment):
            pass
    assert manager.within(0.1) == []


def test_reloads(config, directory):
    manager = Manager(directory)
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon(environment=manager.environment) as daemon:
        manager.wait_for("READY=1")
        config.write("[export a]\nsource = ram:1M\n[export b]\nsource = ram:1M\n")
        daemon.ctl("reload")
        messages = manager.wait_for("RELOADING=1")
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", messages[-1])
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=Serving 2 exports")
        # One that is refused has ended, too.
        config.write("rubbish")
        os.kill(daemon.pid, signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")


def test_certificates_that_are_read_again_are_a_reload(directory):
    manager = Manager(directory)
    with Daemon(directory, "a=ram:1M", tls=True, environment=manager.environment) as daemon:
        manager.wait_for("READY=1")
        daemon.ctl("reload-tls")
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")


# Its disk's requests keep their reactor's thread while a file is there.
STUCK = r"""
    #include <stdlib.h>
    #include <unistd.h>
    static int stuck_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
    {
        platter_disk_set_capacity(disk, 1 << 20);
        return 0;
    }
    static int stuck_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
    {
        geometry->bytes = 1 << 20;
        return 0;
    }
    static void stuck_submit(struct platter_disk *disk, struct platter_request *request)
    {
        while (access(getenv("STUCK"), F_OK) == 0)
            usleep(1000);
        platter_request_complete(request, 0);
    }
    static const struct platter_key keys[] = { { NULL } };
    static const struct platter_disk_ops ops = { .size = sizeof(ops), .open = stuck_open, .submit = stuck_submit };
    static const struct platter_driver driver = { .size = sizeof(driver), .name = "stuck", .description = "stands still", .keys = keys,
        .ops = &ops, .probe = stuck_probe };
    static int start(void) { return platter_register_driver(&driver); }
    static void end(void) { platter_unregister_driver(&driver); }
    PLATTER_INIT(start); PLATTER_EXIT(end);
"""


def test_the_watchdog_is_fed_as_long_as_all_reactors_get_on(directory):
    manager = Manager(directory, watchdog_us=400000)
    stuck = os.path.join(directory, "stuck")
    library = build(directory, "stuck", STUCK + module("stuck"))
    with Daemon(directory, "a=ram:1M", options=["--threads=2"], environment={**manager.environment, "STUCK": stuck}) as daemon:
        manager.wait_for("READY=1")
        for _ in range(5):
            manager.wait_for("WATCHDOG=1")
        daemon.ctl("insmod", library)
        daemon.ctl("export", "add", "b=stuck")
        with Wire(daemon).go(b"b") as wire:
            with open(stuck, "w", encoding="ascii"):
                pass
            wire.send(wire.request(CMD_READ, 0, 512))
            # What is under way comes, and then nothing.
            wait_for(lambda: "WATCHDOG=1" not in manager.within(0.5), "the watchdog isn't fed any more")
            os.unlink(stuck)
            manager.wait_for("WATCHDOG=1")


def listening(kind, address):
    server = socket.socket(kind, socket.SOCK_STREAM)
    server.bind(address)
    server.listen()
    return server


def passed(directory, sockets, *exports, names=True, **more):
    """A daemon that is started with {name: socket}, as descriptors from 3 on."""
    # High ones, so that none stands in another one's way.
    copies = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in sockets.values()]
    moves = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(copies))
    listed = f"LISTEN_FDNAMES={':'.join(sockets)}" if names else ""
    script = f'export LISTEN_PID=$$ LISTEN_FDS={len(copies)} {listed}; exec "$@" {moves}'
    try:
        return Daemon(directory, *exports, command=["bash", "-c", script, "bash"], pass_fds=copies, tls=False, **more)
    finally:
        for fd in copies:
            os.close(fd)


def test_sockets_by_their_names(directory):
    path = f"{directory}/there.sock"
    sockets = {"nbd": listening(socket.AF_UNIX, path), "nbds": listening(socket.AF_INET, ("127.0.0.1", 0)),
               "control": listening(socket.AF_UNIX, f"{directory}/other-control.sock")}
    # Whoever came before the server is served.
    early = socket.socket(socket.AF_UNIX)
    early.connect(path)
    with passed(directory, sockets, "a=ram:1M", options=["--tls=on", "--tls-certificates", tls_support.certificates()]) as daemon:
        assert early.recv(8) == b"NBDMAGIC"
        assert not os.path.exists(daemon.control)
        daemon.control = f"{directory}/other-control.sock"
        daemon.socket = path
        with Wire(daemon).go(b"a") as wire:
            wire.write(0, b"x" * 512)
        assert daemon.ctl_json("version")["pid"] == daemon.pid
        log = daemon.log()
        assert "a socket that was there: nbd, TLS on" in log and "a socket that was there: nbds, TLS required" in log
        # No other ones.
        assert "listening on tcp" not in log and "listening on unix" not in log
    early.close()


def test_the_sockets_outlast_the_server(directory):
    """They are the manager's: the next server goes on with them, and with who came in between."""
    sockets = {"nbd": listening(socket.AF_UNIX, f"{directory}/there.sock"),
               "control": listening(socket.AF_UNIX, f"{directory}/other-control.sock")}
    for _ in range(2):
        with passed(directory, sockets, "a=ram:1M") as daemon:
            daemon.control = f"{directory}/other-control.sock"
            assert [one["name"] for one in daemon.ctl_json("exports")["exports"]] == ["a"]
            daemon.stop()
            between = socket.socket(socket.AF_UNIX)
            between.connect(f"{directory}/there.sock")
    with passed(directory, sockets, "a=ram:1M"):
        assert between.recv(8) == b"NBDMAGIC"
        between.close()


def test_sockets_without_names(directory):
    with passed(directory, {"x": listening(socket.AF_UNIX, f"{directory}/there.sock")}, "a=ram:1M", names=False) as daemon:
        daemon.socket = f"{directory}/there.sock"
        with Wire(daemon).go(b"a"):
            pass


def test_listeners_of_the_configuration_come_beside(config, directory):
    config.write("[export a]\nsource = ram:1M\n")
    with passed(directory, {"nbd": listening(socket.AF_UNIX, f"{directory}/there.sock")}, config=config.path) as daemon:
        for path in "there.sock", "nbd.sock":
            daemon.socket = f"{directory}/{path}"
            with Wire(daemon).go(b"a"):
                pass
        config.write("[export a]\nsource = ram:1M\n", listener=False)
        assert daemon.ctl("reload") == f"removed unix:{directory}/nbd.sock\n"
        daemon.socket = f"{directory}/there.sock"
        with Wire(daemon).go(b"a"):
            pass


def test_tls_comes_to_the_sockets_at_a_reload(config, directory):
    config.write("[export a]\nsource = ram:1M\n", listener=False)
    sockets = {"nbd": listening(socket.AF_UNIX, f"{directory}/there.sock")}
    with passed(directory, sockets, config=config.path) as daemon:
        config.write(f"[export a]\nsource = ram:1M\n[tls]\ncertificates = {tls_support.certificates()}\n", listener=False)
        assert daemon.ctl("reload") == "changed nbd\n"
        daemon.socket = f"{directory}/there.sock"
        with Wire(daemon) as wire, pytest.raises(AssertionError):
            wire.go(b"a")


@pytest.mark.parametrize("name, make, complaint", [
    ("nbd", lambda directory: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), "is no listening stream socket"),
    ("nbd", lambda directory: socket.socket(socket.AF_UNIX), "is no listening stream socket"),
    ("control", lambda directory: listening(socket.AF_INET, ("127.0.0.1", 0)), "is no unix socket"),
    ("nbds", lambda directory: listening(socket.AF_UNIX, f"{directory}/x.sock"), "nbds: TLS needs --tls-certificates or --tls-psk"),
])
def test_sockets_that_will_not_do(directory, name, make, complaint):
    with pytest.raises(AssertionError, match=complaint):
        with passed(directory, {name: make(directory)}, "a=ram:1M"):
            pass


@pytest.mark.skipif(SANITIZED, reason="libnbd's child has no time for a sanitizer's report")
def test_libnbd_starts_it():
    handle = nbd.NBD()
    handle.connect_systemd_socket_activation([PLATTERD, "--config=none", "--control=none", "ram:1M"])
    assert handle.get_size() == MIB
    handle.pwrite(b"x" * 512, 0)
    assert handle.pread(512, 0) == b"x" * 512
    handle.shutdown()


# The journal's socket is where it always is, but only for those who run here.
JOURNAL = """
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
touch /run/systemd/journal/socket
mount --bind "$0" /run/systemd/journal/socket
export JOURNAL_STREAM="$(stat -L -c %d:%i /dev/fd/2)"
exec "$@"
"""


needs_mounts = pytest.mark.skipif(os.getuid() != 0, reason="only root can put a socket in the journal's place")


class Journal:
    """Is at DIRECTORY/journal.sock what daemons that are started with `command` log to."""

    def __init__(self, directory):
        self.path = f"{directory}/journal.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE)
        self.command = ["unshare", "--mount", "bash", "-ec", JOURNAL, self.path, PLATTERD, "--config=none"]

    def next(self):
        return self.socket.recv(4096).decode().splitlines()

    def about(self, text):
        """The fields that are platterd's own of the next message that ends so."""
        while not (fields := self.next())[0].endswith(text):
            pass
        return [field for field in fields if field.startswith("PLATTER_")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@needs_mounts
def test_the_journal_gets_fields(directory):
    with Journal(directory) as journal:
        done = subprocess.run([*journal.command, "--control=none", "/nowhere.img"], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        assert (done.returncode, done.stderr) == (1, "")
        assert journal.next() == ["MESSAGE=/nowhere.img: No such file or directory", "PRIORITY=3", "SYSLOG_IDENTIFIER=platterd"]


@needs_mounts
def test_the_journal_is_told_what_a_message_is_about(directory):
    """The client, its export, and the disk, which may have another name."""
    def ctl(*arguments):
        subprocess.run([PLATTERCTL, f"--socket={directory}/control.sock", *arguments], timeout=PATIENCE, check=True)

    arguments = ["--control", f"{directory}/control.sock", "--verbose", "--listen=tcp:127.0.0.1:0", "a=ram:1M"]
    with Journal(directory) as journal, subprocess.Popen([*journal.command, *arguments]) as daemon:
        try:
            while not (listening := re.fullmatch(r"MESSAGE=listening on tcp:127.0.0.1:(\d+)", (fields := journal.next())[0])):
                pass
            assert not [field for field in fields if field.startswith("PLATTER_")]
            ctl("export", "add", "b=disk:a,allow=uid:root")
            assert journal.about("b: added (user 0)") == ["PLATTER_EXPORT=b"]
            handle = nbd.NBD()
            with pytest.raises(nbd.Error):
                handle.connect_uri(f"nbd://127.0.0.1:{listening[1]}/b")
            export, peer = journal.about("may not use b: no TLS, nobody known by name, no local user")
            assert export == "PLATTER_EXPORT=b" and re.fullmatch(r"PLATTER_PEER=127.0.0.1:\d+", peer)
            handle = nbd.NBD()
            handle.connect_uri(f"nbd://127.0.0.1:{listening[1]}/a")
            export, peer = journal.about("uses a")
            assert export == "PLATTER_EXPORT=a" and re.fullmatch(r"PLATTER_PEER=127.0.0.1:\d+", peer)
            handle.shutdown()
            ctl("mark", "a", "today")
            ctl("export", "remove", "b")
            ctl("export", "remove", "a")
            assert journal.about("gone with it: 1 mark") == ["PLATTER_DISK=a"]
        finally:
            daemon.terminate()


def test_a_variable_of_somebody_else_does_not_make_a_journal(directory):
    with Daemon(directory, "a=ram:1M", environment={"JOURNAL_STREAM": "1:1"}) as daemon:
        assert daemon.log().startswith("platterd: ")
