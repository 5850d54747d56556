# SPDX-License-Identifier: BSD-2-Clause
"""A look at the system calls of a running daemon, and faults in them, for a while."""

import os
import re
import signal
import subprocess

from daemon import end_process, wait_for

# A process that is traced cannot be searched for leaks.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}


class Strace:
    """Attaches to DAEMON until the block ends; what io_uring does stays out of sight.

    CALLS are the system calls to watch.  INJECT is strace's: "fsync:error=EIO:when=1",
    where `when` counts in each thread by itself."""

    def __init__(self, daemon, calls, inject=None):
        number = len([name for name in os.listdir(daemon.directory) if name.startswith("calls.")])
        self.path = os.path.join(daemon.directory, f"calls.{number}")
        messages = os.path.join(daemon.directory, f"strace.{number}")
        command = ["strace", "-f", "-p", str(daemon.pid), "-o", self.path, "-e", "trace=" + calls, "-e", "signal=none"]
        if inject:
            command += ["-e", "inject=" + inject]
        with open(messages, "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

        def attached():
            with open(messages, encoding="utf-8") as file:
                text = file.read()
            assert self.process.poll() is None, text
            return re.search(r"Process \d+ attached", text)

        try:
            wait_for(attached, "strace attaches")
        except AssertionError:
            self.process.kill()
            raise

    def text(self):
        """The trace so far."""
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def calls(self, pattern=""):
        """The calls that match PATTERN, in order, after the end of the trace."""
        assert self.process.poll() is not None
        lines = [line.split(None, 1)[1] for line in self.text().splitlines()]
        return [line for line in lines if re.search(pattern, line) and not line.startswith(("<...", "+++", "---"))]

    def stop(self):
        end_process(self.process, signal.SIGINT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
