# SPDX-License-Identifier: BSD-2-Clause
"""
A disk whose faults and whose every write are known: qemu-storage-daemon shows an image as a file, by FUSE.  Below that
blkdebug fails what it is told to, and blklogwrites keeps a log of what got through, see log_writes.py.  A loop device on
the file is a real block device with the same faults.

The file is mounted where only its own processes see it: it goes with them, however a test ends.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest

from daemon import PATIENCE, end_process, wait_for

SECTOR = 512
# How it can be served, and the keys for that: with O_DIRECT and without, above a loop device and below.
# qemu-storage-daemon 7.2 confuses the payloads of writes that it has at once, and FUSE sends them so where all is O_DIRECT:
# it must get one at a time.
ONE = "queue.queue_depth=1"
KINDS = {"file": "", "file, direct": f",direct=on,{ONE}", "loop": "", "loop, direct": ",direct=on",
         "direct loop, direct": f",direct=on,{ONE}"}


def skip_unless_possible():
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse: this kernel has no FUSE")
    if not shutil.which("qemu-storage-daemon"):
        pytest.skip("no qemu-storage-daemon: see CONTRIBUTING.md")


def nodes(image, log, errors):
    """blkdebug, which is the disk, on blklogwrites, on the files.  Nobody cuts our own power: the files needn't be synced."""
    # "None" is blkdebug's event for every request.
    rules = {"inject-error": [{"event": "none", "errno": 5, **error} for error in errors]} if errors else {}
    # A hole in the file that is exported is a discard below, which would be ignored.
    file, above = {"driver": "file", "discard": "unmap", "cache": {"no-flush": True}}, {"discard": "unmap"}
    return [{**file, "node-name": "image", "filename": image},
            {**file, "node-name": "log", "filename": log},
            {**above, "driver": "blklogwrites", "node-name": "logged", "file": "image", "log": "log", "log-sector-size": SECTOR},
            {**above, "driver": "blkdebug", "node-name": "disk", "image": "logged", **rules}]


class Rig:
    """A disk of SIZE bytes: the file `path`, in sight of what is run with the prefix `command`.

    ERRORS are blkdebug's, for example {"iotype": "write", "sector": 7} or {"iotype": "flush", "once": True}.
    CONTENT is what it holds at first."""

    def __init__(self, directory, size, errors=(), content=None):
        skip_unless_possible()
        self.path, self.image, self.log = (os.path.join(directory, name) for name in ("faulty", "image", "writes"))
        for path in (self.path, self.image, self.log):
            with open(path, "wb") as file:
                if path == self.image:
                    file.write(content or b"")
                    file.truncate(size)
        ready = os.path.join(directory, "rig.pid")
        export = {"type": "fuse", "id": "e", "node-name": "disk", "mountpoint": self.path, "writable": True}
        arguments = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "qemu-storage-daemon", "--pidfile", ready]
        for node in nodes(self.image, self.log, errors):
            arguments += ["--blockdev", json.dumps(node)]
        said = os.path.join(directory, "rig.log")
        with open(said, "wb") as output:
            self.process = subprocess.Popen([*arguments, "--export", json.dumps(export)], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output)
        try:
            wait_for(lambda: os.path.exists(ready) or self.process.poll() is not None, "qemu-storage-daemon starts")
        except AssertionError:
            self.stop()
            raise
        if self.process.poll() is not None:
            with open(said, encoding="utf-8", errors="replace") as file:
                pytest.skip(f"no FUSE export here: {file.read().strip()}")
        # What the prefix runs has the working directory of the tests.
        self.command = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "--wdns=" + os.getcwd()]

    @contextlib.contextmanager
    def loop(self, direct):
        """A loop device on the file.  DIRECT: it has O_DIRECT below, which FUSE can."""
        made = subprocess.run([*self.command, "losetup", "--find", "--show", f"--direct-io={'on' if direct else 'off'}", self.path],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        if made.returncode:
            pytest.skip(f"no loop devices here: {made.stderr.strip()}")
        device = made.stdout.strip()
        try:
            with open(f"/sys/block/{os.path.basename(device)}/loop/dio", encoding="ascii") as file:
                assert file.read() == f"{int(direct)}\n"
            yield device
        finally:
            subprocess.run(["losetup", "--detach", device], timeout=PATIENCE, check=True)

    @contextlib.contextmanager
    def backend(self, kind):
        """What platterd(8) is to serve, as a spec without a name; KIND is one of KINDS."""
        if kind.startswith("file"):
            yield self.path + KINDS[kind]
        else:
            with self.loop(direct=kind == "direct loop, direct") as device:
                yield device + KINDS[kind]

    def content(self):
        """What the disk really holds."""
        with open(self.image, "rb") as file:
            return file.read()

    def stop(self):
        end_process(self.process, signal.SIGTERM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
