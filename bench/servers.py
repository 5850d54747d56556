# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are compared: how each is started at its best, and how it is stopped for certain."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
START_SECONDS = 60  # the floor writes all its memory first
STOP_SECONDS = 10
CONTROL_SECONDS = 10

# Media that are files on a disk.
ON_DISK = ("file", "direct")
# The media that all servers have.
COMMON = ("ram", "tcp", "file")
# Inside TLS, with certificates.
TLS = ("tls", "tls-tcp")
DISK = "disk"  # platterd's, but with several

libc = ctypes.CDLL(None, use_errno=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def child_setup(cpus):
    """For a child before exec: it stays on CPUS (None: anywhere) and dies with us, however we end."""

    def setup():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpus:
            os.sched_setaffinity(0, cpus)

    return setup


def process_cpu_seconds(pid):
    """By its CPU clock, as clock_getcpuclockid(3) makes it."""
    return time.clock_gettime((~pid << 3) | 2)


class Place:
    """
    Where a server listens, and the MEDIUM that it serves: "ram" and "tcp", a RAM disk of SIZE bytes, or IMAGE on tmpfs;
    "tls" and "tls-tcp", the same with TLS;
    "file" and "direct", IMAGE on a disk, through the page cache or past it; "delay", platterd's module of that name.
    """

    def __init__(self, directory, name, medium, size, image):
        self.directory = directory
        self.medium = medium
        self.log = os.path.join(directory, name + ".log")
        self.control = os.path.join(directory, name + ".control")
        self.modules = os.path.join(directory, "modules")
        self.certificates = os.path.join(directory, "certificates") if medium in TLS else None
        self.socket = None if medium.endswith("tcp") else os.path.join(directory, name + ".sock")
        self.port = None if self.socket else free_port()
        self.size = size
        self.image = image

    @property
    def on_disk(self):
        return self.medium in ON_DISK

    def load_options(self):
        where = ["--unix", self.socket] if self.socket else ["--tcp", f"127.0.0.1:{self.port}"]
        return where + (["--tls-certificates", self.certificates] if self.certificates else [])

    def connect(self):
        if self.socket:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.socket)
        else:
            socket.create_connection(("127.0.0.1", self.port), 1).close()


def floor(program, place):
    where = ["--unix", place.socket] if place.socket else ["--tcp", str(place.port)]
    what = ["--file", place.image] if place.on_disk else ["--memory", str(place.size)]
    return [program, *where, *what]


def floor_polling(program, place, microseconds):
    return [*floor(program, place), "--poll-us", str(microseconds)]


def platterd(program, place, *options, disks=1, overcommit=False):
    where = f"unix:{place.socket}" if place.socket else f"tcp:127.0.0.1:{place.port}"
    if place.on_disk:
        what = [f"{DISK}={place.image}" + (",direct" if place.medium == "direct" else "")]
    elif place.medium == "delay":
        what = [f"below=ram:{place.size},export=off", f"{DISK}=delay:below"]
    elif disks == 1:
        what = [f"{DISK}=ram:{place.size}" + (",overcommit=on" if overcommit else "")]
    else:
        what = [f"{DISK}{i}=ram:{place.size}" for i in range(disks)]
    tls = ["--tls-certificates", place.certificates] if place.certificates else []
    return [program, *(options or ("--threads", "1")), "--control", place.control, "--modules", place.modules,
            "--module-conf", place.modules, *tls, "--listen", where, *what]


def nbdkit(program, place):
    # Of -t 1, 4 and 16 (the default), all on one CPU: large requests are fastest with 4, small ones within the noise.
    where = ["-U", place.socket] if place.socket else ["-i", "127.0.0.1", "-p", str(place.port)]
    what = ["file", place.image] if place.on_disk else ["memory", str(place.size), "allocator=malloc"]
    tls = ["--tls=require", "--tls-certificates=" + place.certificates] if place.certificates else []
    return [program, "-f", "-t", "4", *tls, *where, *what]


def qemu(program, place, aio="io_uring"):
    # On tmpfs as on cached ext4, io_uring is ahead of threads; native needs O_DIRECT.
    if place.socket:
        where = f"addr.type=unix,addr.path={place.socket}"
    else:
        where = f"addr.type=inet,addr.host=127.0.0.1,addr.port={place.port}"
    node = f"driver=file,node-name=image,filename={place.image},aio={aio}," \
        f"cache.direct={'on' if place.medium == 'direct' else 'off'}"
    export = "type=nbd,id=export,node-name=image,name=,writable=on"
    tls = []
    if place.certificates:
        tls = ["--object", f"tls-creds-x509,id=tls,dir={place.certificates},endpoint=server,verify-peer=off"]
        where += ",tls-creds=tls"
    return [program, *tls, "--blockdev", node, "--nbd-server", where, "--export", export]


def nbd_server(program, place):
    where = f"unixsock = {place.socket}" if place.socket else f"listenaddr = 127.0.0.1\nport = {place.port}"
    config = place.log + ".conf"
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[generic]\n{where}\n")
        if place.certificates:
            file.write("force_tls = true\n" + "".join(f"{key}file = {place.certificates}/{name}.pem\n" for key, name in (
                ("cacert", "ca-cert"), ("cert", "server-cert"), ("key", "server-key"))))
        file.write(f"[disk]\nexportname = {place.image}\nflush = true\n")
    # Without forking it would serve one client only; as a daemon it tells its process id.
    return [program, "-C", config, "-p", place.log + ".pid"]


class Kind:
    """A server as a row of the tables: its PROGRAM, and COMMAND(program, place) that runs it."""

    def __init__(self, name, program, command, version=None, export="", image=False, daemon=False, cases=None,
                 media=COMMON, control=None):
        self.name = name
        self.file_name = re.sub(r"\W+", "-", name)
        self.program = shutil.which(program)
        self.command = command
        self.version_option = version
        self.export = export
        self.image = image  # serves a file also where others serve memory: then on tmpfs
        self.daemon = daemon
        self.cases = cases  # that it is measured in; None: all
        self.media = media
        self.control = control  # the program that sets the queue of its disk

    def version(self):
        if not self.version_option:
            return None
        out = subprocess.run([self.program, self.version_option], capture_output=True, text=True, timeout=10)
        found = re.search(r"\d+\.\d[\w.+:()~-]*", out.stdout + out.stderr)
        return found.group(0) if found else None


class Server:
    """A running server."""

    def __init__(self, kind, place, cpus, command=None):
        self.name = kind.name
        self.kind = kind
        self.place = place
        self.broken = None  # why it is not measured any more
        self.queue = self.defaults = {}  # what its disk's queue is set to, and was at first
        self.process = self.pidfd = None
        with open(place.log, "ab") as log:
            self.process = subprocess.Popen(
                command or kind.command(kind.program, place), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=child_setup(cpus), start_new_session=True)
        self.pid = self.process.pid
        try:
            if kind.daemon:
                self.follow_daemon()
            self.pidfd = os.pidfd_open(self.pid)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def follow_daemon(self):
        self.process.wait(START_SECONDS)
        path = self.place.log + ".pid"
        until = time.monotonic() + START_SECONDS
        while not (os.path.exists(path) and open(path, encoding="ascii").read().strip()):
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} doesn't start: {self.last_words()}")
            time.sleep(0.05)
        self.pid = int(open(path, encoding="ascii").read())

    def wait_ready(self):
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self.place.connect()
                return
            except OSError as error:
                if self.ended(0.05) or time.monotonic() > until:
                    raise RuntimeError(f"{self.name} doesn't start: {self.last_words()}") from error

    def last_words(self):
        with open(self.place.log, encoding="utf-8", errors="replace") as log:
            return "; ".join(log.read().splitlines()[-3:]) or "it said nothing"

    def ended(self, timeout):
        return bool(select.select([self.pidfd], [], [], timeout)[0])

    def resident_kib(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            return int(re.search(r"^Rss:\s+(\d+)", file.read(), re.M).group(1))

    def cpu_seconds(self):
        return process_cpu_seconds(self.pid)

    def ask(self, *arguments):
        """What platterctl says."""
        command = [self.kind.control, "--socket", self.place.control, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONTROL_SECONDS, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def scheduler(self):
        """Its disk's."""
        return re.search(r"\[(\w+)\]", self.ask("queue", DISK, "scheduler"))[1]

    def set_up(self, queue, params):
        """The attributes of its disk's QUEUE, and the module delay's PARAMS."""
        if queue:
            self.ask("queue", DISK, *(f"{name}={value}" for name, value in queue.items()))
        for name, value in params.items():
            self.ask("param", "delay", name, str(value))

    def queue_work(self):
        """What its disk's queue has had from clients and given to the driver so far; None for a server that cannot tell."""
        if not self.kind.control:
            return None
        try:
            ops = json.loads(self.ask("--json", "stats", DISK))["disks"][0]["ops"]
        except RuntimeError:
            return None
        return {"requests": sum(ops[op]["requests"] for op in ("read", "write")),
                "driver_requests": sum(ops[op]["submitted"] for op in ("read", "write")),
                "flushes": ops["flush"]["requests"], "syncs": ops["flush"]["submitted"]}

    def counters(self, pattern, timeout=2):
        """platterd's answer to SIGUSR1: the last line of its log with PATTERN; None when there is none."""
        start = os.path.getsize(self.place.log)
        signal.pidfd_send_signal(self.pidfd, signal.SIGUSR1)
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            with open(self.place.log, encoding="utf-8", errors="replace") as log:
                log.seek(start)
                lines = [line.strip() for line in log if pattern in line]
            if lines:
                return lines[-1]
            time.sleep(0.05)
        return None

    def stop(self):
        """By its pidfd, so that no other process can be hit."""
        if self.pidfd is None:
            self.process.kill()
        else:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if self.ended(0):
                    break
                signal.pidfd_send_signal(self.pidfd, number)
                self.ended(STOP_SECONDS)
            os.close(self.pidfd)
            self.pidfd = None
        self.process.wait()
