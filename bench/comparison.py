# SPDX-License-Identifier: BSD-2-Clause
"""Servers of one medium side by side: started together, measured in turn."""

import os
import shutil
import statistics
import subprocess
import tempfile

import cipher
import report
import servers
from cases import CASES
from generator import Failure, Generator
from kinds import all_kinds, chosen

MIB = 1 << 20
COUNTERS = "system calls per request"
DISTURBED = 0.1  # the part of a CPU that others may have had
REPEATS = 0.2  # the part of all measurements that may be made once more because of that
PLUGINS = ("stack", "delay")
MAKE_CERTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "make-certs")
TROUBLE = (Failure, RuntimeError, OSError, subprocess.SubprocessError)


class Comparison:
    """One run: its options, its temporary directories and every process that it started."""

    def __init__(self, options):
        self.options = options
        kinds = [kind for kind in all_kinds(options) if chosen(kind.name, options.servers)]
        self.missing = [kind.name for kind in kinds if not kind.program]
        self.kinds = [kind for kind in kinds if kind.program]
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpus, self.load_cpus = ({cpus[0]}, {cpus[1]}) if len(cpus) > 1 else (None, None)
        self.settings = dict(setting.split("=", 1) for setting in options.queue)
        self.generator = Generator(options.load, self.load_cpus, {cpus[2]} if len(cpus) > 2 else self.load_cpus)
        self.directory = tempfile.mkdtemp(prefix="platter-bench-", dir=options.dir)
        self.memory = tempfile.mkdtemp(prefix="platter-bench-", dir="/dev/shm")
        self.running = []
        self.results = {}
        self.alone = {}  # what is held against no other server's
        self.reported = {"schedulers": {}}
        self.failures = []
        self.repeats = 0

    def close(self):
        for server in self.running:
            server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.memory, ignore_errors=True)

    def fail(self, what):
        print(f"FAILED: {what}", flush=True)
        self.failures.append(what)

    def make_image(self, kind, name, medium):
        on_disk = medium in servers.ON_DISK
        if not on_disk and not kind.image:
            return None
        path = os.path.join(self.directory if on_disk else self.memory, name + ".img")
        with open(path, "wb") as file:
            file.truncate((self.options.file_size if on_disk else self.options.size) * MIB)
        return path

    def start(self, kind, medium, cpus, command=None, size=None):
        """SIZE: of a RAM disk, in MiB; None: what the options say."""
        name = f"{medium}-{kind.file_name}"
        image = self.make_image(kind, name, medium)
        size = size or (self.options.slow_size if medium == "delay" else self.options.size)
        place = servers.Place(self.directory, name, medium, size * MIB, image)
        if place.certificates and not os.path.exists(place.certificates):
            subprocess.run([MAKE_CERTS, place.certificates], check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        server = servers.Server(kind, place, cpus, command and command(kind.program, place))
        self.running.append(server)
        return server

    def stop(self, server):
        self.running.remove(server)
        server.stop()
        if server.place.image:
            os.unlink(server.place.image)

    def make_modules(self):
        """Copies of what the medium "delay" needs: not in all build folders is a module trusted."""
        directory = os.path.join(self.directory, "modules")
        os.makedirs(directory, mode=0o755, exist_ok=True)
        for name in PLUGINS:
            shutil.copy(os.path.join(self.options.plugins, name, name + ".so"), directory)
        subprocess.run([self.options.platterctl, "depmod", directory], check=True, timeout=60, stdin=subprocess.DEVNULL)

    def prepare(self, server):
        """Everything is written once."""
        if server.place.medium == "delay":
            server.set_up({}, {"read_us": 0, "write_us": 0, "flush_us": 0})
        self.generator.run(server, "--prepare", "--count", "1")
        self.settle(server)
        # Only a disk that was opened has a scheduler that fits it.
        if server.kind.control:
            server.queue = server.defaults = {"scheduler": server.scheduler()}

    def settle(self, server):
        """Waits until the kernel has written a file, so that it doesn't do so in the next server's time."""
        if server.place.on_disk:
            with open(server.place.image, "rb") as file:
                os.fsync(file.fileno())

    def set_up(self, server, case, row):
        if not server.kind.control:
            return
        queue = {**server.defaults, **self.settings, **case.queue, **row.queue}
        if queue != server.queue or case.params:
            server.set_up(queue, case.params)
            server.queue = queue

    def measure_once(self, server, case, row):
        options = self.options
        load = row.load or case.load
        arguments = [*load.arguments(), "--seconds", str(options.seconds), "--warmup", str(options.warmup)]
        limit = options.seconds + options.warmup + 60
        if load.op == "read":
            arguments.append("--verify")
        calls, before = self.counters(server), server.queue_work()
        if row.beside:
            with self.generator.beside(server, row.beside) as (process, beside):
                one = self.generator.run(server, *arguments, limit=limit, beside=process)
            one["beside"] = beside
        else:
            one = self.generator.run(server, *arguments, limit=limit)
        after = server.queue_work()
        one["system_calls_per_request"] = report.calls_per_request(calls, self.counters(server))
        one["queue"] = {name: after[name] - before[name] for name in before} if before and after else None
        if load.op == "write" or (row.beside and row.beside.op == "write"):
            self.settle(server)
        return one

    def counters(self, server):
        """platterd's line of them."""
        return server.counters(COUNTERS) if server.name == "platterd" else None

    def measure(self, server, case, row):
        self.set_up(server, case, row)
        one = self.measure_once(server, case, row)
        if report.disturbed(one) > DISTURBED and self.repeats >= 1:
            self.repeats -= 1
            one = min(one, self.measure_once(server, case, row), key=report.disturbed)
        return one

    def run_case(self, case, rows):
        """ROWS: each with its server.  ABAB: each round begins with another one."""
        result = self.results[case.name] = {row.name: [] for row, _ in rows}
        self.repeats += REPEATS * len(rows) * self.options.rounds
        for number in range(self.options.rounds):
            first = number % len(rows)
            for row, server in rows[first:] + rows[:first]:
                if server.broken:
                    continue
                try:
                    result[row.name].append(self.measure(server, case, row))
                except TROUBLE as failure:
                    server.broken = str(failure)
                    self.fail(f"{case.name}: {row.name}: {failure}")
        report.case_table(case, result)

    def start_all(self, medium, cases):
        """Servers that don't start are named and left out."""
        running = []
        for kind in self.kinds:
            if medium not in kind.media or not any(case.rows_for([kind]) for case in cases):
                continue
            try:
                running.append(self.start(kind, medium, self.server_cpus))
                self.prepare(running[-1])
            except TROUBLE as failure:
                self.fail(f"{medium}: {failure}")
                running = [server for server in running if server.kind is not kind]
        return running

    def run_medium(self, medium):
        cases = [case for case in CASES if case.medium == medium and chosen(case.name, self.options.case)]
        if not cases:
            return
        if medium == "delay":
            self.make_modules()
        running = self.start_all(medium, cases)
        for server in running:
            if server.kind.name == "platterd" and medium in servers.ON_DISK:
                self.reported["schedulers"][medium] = server.defaults["scheduler"]
                print(f"\nplatterd's own choice of a scheduler here, {medium}: {server.defaults['scheduler']}", flush=True)
        for case in cases:
            by_name = {server.kind.name: server for server in running}
            rows = [(row, by_name[row.kind or row.name]) for row in case.rows_for([server.kind for server in running])]
            if rows:
                self.run_case(case, rows)
            if rows and case.medium in servers.TLS and case.load.rate:
                self.report_cipher(case)
            if case.name == "read-4k":
                self.report_counters(running)
        for server in running:
            self.stop(server)

    def report_counters(self, running):
        for server in running:
            if server.name == "platterd" and not server.broken:
                self.reported["counters"] = line = self.counters(server)
                print(f"platterd's own counters: {line or 'none'}", flush=True)

    def report_cipher(self, case):
        """How much of what its CPU could encrypt a server did."""
        if "aes_128_gcm" not in self.reported:
            self.reported["aes_128_gcm"] = cipher.speed(self.server_cpus, self.options.rounds)
        report.cipher_lines(self.results[case.name], self.reported["aes_128_gcm"])

    def platterd_kind(self):
        return next((kind for kind in self.kinds if kind.name == "platterd"), None)

    def report_threads(self):
        """Two connections to two RAM disks, not pinned: only reported, for the generator takes a CPU itself."""
        kind = self.platterd_kind()
        running = []
        for threads in ("1", "2"):
            def command(program, place, threads=threads):
                return servers.platterd(program, place, "--threads", threads, disks=2)

            running.append(self.start(kind, f"ram-{threads}-threads", None, command))
            self.generator.run(running[-1], "--export", "disk0", "--export", "disk1", "--prepare", "--count", "2", pinned=False)
        result = {name: [] for name in ("--threads 1, one connection", "--threads 1, two", "--threads 2, two")}
        for _ in range(self.options.rounds):
            for (name, rounds), server, disks in zip(result.items(), (running[0], *running), (1, 2, 2)):
                exports = [word for i in range(disks) for word in ("--export", f"disk{i}")]
                rounds.append(self.generator.run(server, *exports, "--depth", "32", "--verify",
                                                 "--seconds", str(self.options.seconds),
                                                 "--warmup", str(self.options.warmup), pinned=False))
        report.rates_table("platterd, RAM disks, not pinned: 4 KiB random read, QD 32 a connection, each its own disk", result)
        self.reported["threads"] = result
        for server in running:
            self.stop(server)

    def report_idle(self, name, medium):
        """What idle connections cost, and how a newcomer fares beside them."""
        server = self.start(self.platterd_kind(), medium, self.server_cpus)
        self.generator.run(server, "--prepare", "--count", "1")
        alone = [self.generator.run(server, "--count", "1") for _ in range(9)]
        before = server.resident_kib()
        command = self.generator.command(server, "--idle", str(self.options.idle), "--hold", "--count", "1")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=servers.child_setup(self.load_cpus)) as holder:
            try:
                if holder.stdout.readline() != "ready\n":
                    raise Failure(f"{name}: no {self.options.idle} connections (the server: {server.last_words()})")
                grown = server.resident_kib() - before
                beside = [self.generator.run(server, "--count", "1") for _ in range(9)]
                holder.stdin.close()
                if holder.wait(30) != 0:
                    raise Failure(f"{name}: the idle connections did not end well")
            finally:
                holder.kill()
        self.stop(server)

        def newcomer(rounds):
            return statistics.median(one["connect_us"] + one["p50_us"] for one in rounds)

        self.reported[name] = {
            "connections": self.options.idle, "rss_kib_before": before, "rss_kib_grown": grown,
            "rss_bytes_per_connection": grown * 1024 / max(1, self.options.idle),
            "newcomer_us_alone": newcomer(alone), "newcomer_us_beside": newcomer(beside)}
        self.alone[name] = {"platterd": [self.reported[name]]}
        report.idle_lines(name, self.reported[name])
