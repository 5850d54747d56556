# SPDX-License-Identifier: BSD-2-Clause
"""Configuration files of a test's own."""

import os
import subprocess

from daemon import PATIENCE, PLATTERD, Daemon


class Config:
    """platterd.conf in a directory, with a listener where Daemon looks for it, and drop-ins beside it."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.path = os.path.join(self.directory, "platterd.conf")
        self.listener = f"[listen first]\naddress = unix:{self.directory}/nbd.sock\n"

    def write(self, text, listener=True):
        self._write(self.path, (self.listener if listener else "") + text)

    def drop_in(self, name, text):
        os.makedirs(self.path + ".d", exist_ok=True)
        self._write(os.path.join(self.path + ".d", name), text)

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)

    def daemon(self, *exports, **more):
        # Whoever runs the tests may have SIGHUP ignored.
        return Daemon(self.directory, *exports, config=self.path, tls=False, command=["env", "--default-signal=HUP"], **more)

    def check(self, *options):
        """--check-config's exit status, and its complaints without the program's name and the files' directory."""
        done = subprocess.run([PLATTERD, "--config", self.path, "--check-config", *options], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
        assert done.stdout == ""
        lines = [line.removeprefix("platterd: error: ") for line in done.stderr.splitlines()]
        return done.returncode, [line.replace(self.directory + "/", "") for line in lines]
