# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are compared: each serves the same file, with all that it can be asked to offer."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import tls_support

SIZE = 8 << 30
PATIENCE = 30
# What a server may be started as, by name; of a rule the first one counts that offers what it is about.
WRITABLE, READ_ONLY, STRICT, TLS, OPTIONAL_TLS = KINDS = ("writable", "read-only", "strict", "tls", "optional tls")


class Place:
    """What a server is started with: a DIRECTORY of its own, and what it is to be, a KIND."""

    def __init__(self, directory, kind):
        self.kind = kind
        self.directory = directory
        self.socket = os.path.join(directory, "socket")
        self.pid_file = os.path.join(directory, "pid")
        self.image = os.path.join(directory, "image")
        self.certificates = tls_support.certificates()
        self.strict = kind == STRICT  # about blocks
        self.read_only, self.tls = kind == READ_ONLY, kind in (TLS, OPTIONAL_TLS)
        with open(self.image, "wb") as file:
            file.truncate(SIZE)

    @property
    def uri(self):
        scheme = "nbds" if self.kind == TLS else "nbd"
        return f"{scheme}+unix:///disk?socket={self.socket}"


def platterd(program, place):
    tls = ["--tls-certificates", place.certificates] if place.tls else []
    if place.kind == OPTIONAL_TLS:
        tls += ["--tls=on", "secret=ram:1M,tls"]
    return [program, "--listen", f"unix:{place.socket}", "--control", place.socket + ".control",
            "--modules", place.directory + "/modules", "--module-conf", place.directory + "/modules.d", *tls,
            f"disk={place.image}" + ",readonly" * place.read_only + ",direct=on" * place.strict]


def nbdkit(program, place):
    # Of itself it serves its one disk under any name.
    filters, parameters = ["--filter=exportname"], ["exportname=disk", "exportname-strict=true", "exportname-list=explicit"]
    if place.strict:
        filters += ["--filter=blocksize-policy"]
        parameters += ["blocksize-minimum=4096", "blocksize-error-policy=error"]
    tls = ["--tls", "require" if place.kind == TLS else "on", f"--tls-certificates={place.certificates}"] if place.tls else []
    return [program, "-f", "-U", place.socket, *["-r"] * place.read_only, *tls, *filters, "file", place.image, *parameters]


def qemu_storage_daemon(program, place):
    tls = ["--object", f"tls-creds-x509,id=tls,dir={place.certificates},endpoint=server,verify-peer=off"] if place.tls else []
    server = f"addr.type=unix,addr.path={place.socket}" + ",tls-creds=tls" * place.tls
    writable, direct = "off" if place.read_only else "on", "on" if place.strict else "off"
    return [program, *tls, "--blockdev", f"driver=file,node-name=image,filename={place.image},discard=unmap,cache.direct={direct}",
            "--nbd-server", server, "--export", f"type=nbd,id=export,node-name=image,name=disk,writable={writable}"]


def nbd_server(program, place):
    lines = ["[generic]", f"unixsock = {place.socket}", "allowlist = true"]
    if place.tls:
        lines += [f"{key} = {os.path.join(place.certificates, name)}" for key, name in
                  (("certfile", "server-cert.pem"), ("keyfile", "server-key.pem"), ("cacertfile", "ca-cert.pem"))]
    lines += ["force_tls = true"] * (place.kind == TLS)
    lines += ["[disk]", f"exportname = {place.image}", "flush = true", "fua = true", "trim = true"]
    lines += ["readonly = true"] * place.read_only
    if place.kind == OPTIONAL_TLS:
        lines += ["[secret]", f"exportname = {place.image}", "force_tls = true"]
    config = os.path.join(place.directory, "config")
    with open(config, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    # Without forking it would serve one client only; as a daemon it tells its process id.
    return [program, "-C", config, "-p", place.pid_file]


class Peer:
    """NAME is its column's; COMMAND(program, place) starts it as one of KINDS. As a DAEMON it leaves its process id in a file."""

    def __init__(self, name, program, command, version, kinds=KINDS, daemon=False):
        self.name, self.program, self.command, self.kinds, self.daemon = name, shutil.which(program), command, kinds, daemon
        self.version_option = version

    def version(self):
        done = subprocess.run([self.program, self.version_option], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return re.search(r"\d+\.\d[\w.+:~-]*", done.stdout + done.stderr)[0]

    @contextlib.contextmanager
    def running(self, place):
        """As long as the block lasts."""
        log_path = os.path.join(place.directory, "log")
        with open(log_path, "wb") as log:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command(self.program, place)],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait_until_it_listens(place, process, log_path)
            yield
        finally:
            end(process, place.pid_file)

    def _wait_until_it_listens(self, place, process, log_path):
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(place.socket)
                if not self.daemon or os.path.getsize(place.pid_file):
                    return
            ended = process.poll() is not None and not (self.daemon and process.returncode == 0)
            if ended or time.monotonic() > until:
                with open(log_path, encoding="utf-8", errors="replace") as log:
                    raise RuntimeError(f"{self.name} doesn't start: {log.read()[-500:]}")
            time.sleep(0.01)


def end(process, pid_file):
    """The process, and the daemon whose id is in PID_FILE."""
    with contextlib.suppress(OSError, ValueError):
        with open(pid_file, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
    process.kill()
    process.wait()


def peers(platterd_program):
    """All, installed or not."""
    return [
        Peer("platterd", platterd_program, platterd, "--version"),
        Peer("nbdkit", "nbdkit", nbdkit, "--version"),
        Peer("qemu-storage-daemon", "qemu-storage-daemon", qemu_storage_daemon, "--version",
             kinds=(WRITABLE, READ_ONLY, STRICT, TLS)),
        Peer("nbd-server", "nbd-server", nbd_server, "-V", kinds=(WRITABLE, READ_ONLY, TLS, OPTIONAL_TLS), daemon=True),
    ]
