# SPDX-License-Identifier: BSD-2-Clause
"""A platterd to test: starts it, waits until it listens, looks at it, ends it."""

import json
import os
import re
import signal
import subprocess
import time

import tls_support

PLATTERD = os.environ.get("PLATTERD", "./platterd")
PLATTERCTL = os.environ.get("PLATTERCTL", os.path.join(os.path.dirname(PLATTERD), "platterctl"))
PLATTER = os.environ.get("PLATTER", os.path.join(os.path.dirname(PLATTERD), "platter"))
# More options for every daemon, for example --poll-us=50.
OPTIONS = os.environ.get("PLATTERD_OPTIONS", "").split()
# Set: clients that send exact bytes do so over TLS, where a test doesn't say otherwise.
TLS = os.environ.get("PLATTERD_TLS", "")
# Emulators and sanitizers are slow; nothing waits this long when all is well.
PATIENCE = 60

with open(PLATTERD, "rb") as program:
    TEXT = program.read()
    SANITIZED = b"__asan_init" in TEXT or b"__tsan_init" in TEXT


def end_process(process, number):
    """Ends it by a signal; one that doesn't end in time is killed, and that is an error."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def wait_for(condition, what, seconds=PATIENCE):
    """Polls until condition() is true, and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)


class Daemon:
    """A running platterd with a unix socket and, with tcp=True, a TCP port of its own."""

    def __init__(self, directory, *exports, options=(), tcp=False, command=(), environment=None, tls=bool(TLS),
                 config=None, pass_fds=()):
        self.directory = str(directory)
        self.socket = os.path.join(self.directory, "nbd.sock")
        self.control = os.path.join(self.directory, "control.sock")
        self.log_path = os.path.join(self.directory, "log")
        self.good_statuses = {0, -signal.SIGKILL}
        # Nothing is left behind, even if the test run is killed.
        arguments = ["setpriv", "--pdeathsig", "KILL", *command, PLATTERD, "--config", config or "none", "--control", self.control,
                     "--modules", os.path.join(self.directory, "modules"), "--module-conf", os.path.join(self.directory, "modules.d")]
        # A configuration says by itself where to listen, and sockets are passed for that.
        if not config and not pass_fds:
            arguments += ["--listen", "unix:" + self.socket]
        if tcp:
            arguments += ["--listen", "tcp:127.0.0.1:0"]
        self.tls = tls_support.context(tls_support.certificates()) if tls else None
        if tls:
            arguments += ["--tls=on", "--tls-certificates", tls_support.certificates()]
        arguments += [*OPTIONS, *options, *exports]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                arguments, stderr=log, stdout=log, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
                pass_fds=pass_fds)
        self.pid = self.process.pid
        wait_for(lambda: "reactor" in self.log() or self.process.poll() is not None, "platterd starts")
        if self.process.poll() is not None:
            raise AssertionError(f"platterd ended with {self.process.returncode}: {self.log()}")
        if command:
            self.pid = self._find_child()
        self.port = int(re.search(r"listening on tcp:127\.0\.0\.1:(\d+)", self.log())[1]) if tcp else None

    def _find_child(self):
        """The daemon itself, when it runs under another program (strace, prlimit execs)."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            found = children.read().split()
        return int(found[0]) if found else self.process.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def tcp_uri(self, export=""):
        return f"nbd://127.0.0.1:{self.port}/{export}"

    def alive(self):
        return self.process.poll() is None

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """Resident bytes that are the daemon's own: without RAM disks and program text."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def stats(self):
        """The counters, summed over the reactors, as {name: number}."""
        before = self.log().count("system calls per request")
        reactors = len(re.findall(r"(\d+) reactors? on", self.log())) and int(re.findall(r"(\d+) reactors? on", self.log())[0])
        os.kill(self.pid, signal.SIGUSR1)
        wait_for(lambda: self.log().count("system calls per request") >= before + reactors, "counters in the log")
        sums = {}
        for line in re.findall(r"reactor \d+: (.*)", self.log())[before:]:
            for number, name in re.findall(r"([\d.]+) ([a-z ]+)", line):
                sums[name] = sums.get(name, 0) + float(number)
        return sums

    def ctl(self, *arguments, status=0):
        """What platterctl prints; with another STATUS expected, what it complains of."""
        done = subprocess.run([PLATTERCTL, "--socket", self.control, *arguments], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == status, (arguments, done)
        return done.stderr if status else done.stdout

    def ctl_json(self, *arguments):
        return json.loads(self.ctl("--json", *arguments))

    def stop(self, number=signal.SIGTERM, patience=PATIENCE):
        """Ends it; returns its exit status."""
        if self.process.poll() is None:
            os.kill(self.pid, number)
        return self.process.wait(patience)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL if kind else signal.SIGTERM)
        log = self.log()
        # A sanitizer's report fails the test, wherever it came from.
        assert "Sanitizer" not in log and "runtime error" not in log, log
        if kind is None:
            assert self.process.returncode in self.good_statuses, f"exit status {self.process.returncode}: {log}"
