# SPDX-License-Identifier: BSD-2-Clause
"""Runs platter-load against a server, and sees what else kept the machine busy meanwhile."""

import contextlib
import json
import os
import resource
import subprocess
import time

import servers

LIMIT = 60  # seconds, beside those that it measures
FOREVER = 3600


class Failure(Exception):
    """A measurement that yields nothing."""


def busy_seconds():
    """What all CPUs did and what the hypervisor kept from them since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def generators_seconds(beside):
    """The CPU time of the generators that have ended, and of BESIDE, which runs."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = servers.process_cpu_seconds(beside.pid) if beside else 0
    return own.ru_utime + own.ru_stime + running


class Generator:
    """PROGRAM on CPUS; what loads a server beside the one that is measured runs on BESIDE_CPUS."""

    def __init__(self, program, cpus, beside_cpus):
        self.program = program
        self.cpus = cpus
        self.beside_cpus = beside_cpus

    def command(self, server, *arguments):
        exports = [] if "--export" in arguments else ["--export", server.kind.export]
        return [self.program, *server.place.load_options(), *exports, "--json", *arguments]

    def run(self, server, *arguments, pinned=True, limit=LIMIT, beside=None):
        """Its report, and how much others had of the machine; BESIDE, a generator that runs meanwhile, isn't one of them."""
        command = self.command(server, *arguments, "--server-pid", str(server.pid))
        busy, steal = busy_seconds()
        start = time.monotonic()
        own = generators_seconds(beside)
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False,
                              stdin=subprocess.DEVNULL, preexec_fn=servers.child_setup(self.cpus if pinned else None))
        check(server, done.returncode, done.stderr)
        took = time.monotonic() - start
        one = json.loads(done.stdout)
        now_busy, now_steal = busy_seconds()
        own = generators_seconds(beside) - own
        one["foreign_cpu"] = max(0.0, (now_busy - busy - own) / took - one["server_cpu_share"])
        one["steal"] = (now_steal - steal) / took
        return one

    @contextlib.contextmanager
    def beside(self, server, load):
        """Keeps LOAD on SERVER meanwhile; the dictionary that it gives is filled in at the end."""
        command = self.command(server, *load.arguments(), "--seconds", str(FOREVER))
        report = {}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=servers.child_setup(self.beside_cpus)) as process:
            try:
                yield process, report
                process.terminate()
                out, complaint = process.communicate(timeout=LIMIT)
            finally:
                process.kill()
        check(server, process.returncode, complaint)
        report.update(json.loads(out))


def check(server, status, complaint):
    if status != 0:
        complaint = complaint.strip() or f"the load generator ended with {status}"
        last = server.last_words() if server.ended(0) else "it still runs"
        raise Failure(f"{server.name}: {complaint} (the server: {last})")
