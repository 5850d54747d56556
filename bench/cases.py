# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: bench/README.md says why, and how."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Load:
    """What one load generator does."""
    op: str
    block: str
    depth: int
    sequential: bool = False
    clients: int = 1
    flush: bool = False  # after each write
    rate: int = 0  # requests a second; 0: as many as it can

    def arguments(self):
        return ["--op", self.op, "--block", self.block, "--depth", str(self.depth), "--connections", str(self.clients),
                *(["--sequential"] if self.sequential else []), *(["--flush"] if self.flush else []),
                *(["--rate", str(self.rate)] if self.rate else [])]


@dataclass(frozen=True)
class Row:
    """A line of a case's table: a server, how its disk's queue is set, and what else loads it. None: as the case says."""
    name: str
    kind: str = None  # the server; None: of that name
    queue: dict = field(default_factory=dict)
    load: Load = None
    beside: Load = None


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    medium: str  # what is served, see servers.py
    load: Load
    rows: tuple = ()  # none: one for each server that has the medium
    queue: dict = field(default_factory=dict)   # of platterd's disk
    params: dict = field(default_factory=dict)  # of the module delay, whose disk it is
    metric: str = "iops"  # that the plot shows

    def rows_for(self, kinds):
        """Those that can be measured with the servers KINDS."""
        available = {kind.name for kind in kinds if kind.cases is None or self.name in kind.cases}
        rows = self.rows or [Row(kind.name) for kind in kinds]
        return [row for row in rows if (row.kind or row.name) in available]


def scheduler(name, **others):
    return Row(f"platterd, {name}", "platterd", {"scheduler": name}, **others)


QEMU = ("qemu-storage-daemon", "qemu-storage-daemon, native")
# What platterd chooses by itself, the same without merging, and the peers that can bypass the page cache.
DIRECT = (Row("platterd"), scheduler("none"), *map(Row, QEMU))

WRITERS = Load("write", "128K", 8, sequential=True, clients=4)
EQUAL = Load("read", "4K", 4)
FLOOD = Load("read", "4K", 256)
STEADY = 4000  # requests a second, which nobody needs a whole CPU for


def fairness(*rows):
    """Each row twice: beside a client like itself, and beside one that floods."""
    return tuple(Row(f"{row.name}, {how}", row.kind or row.name, row.queue, beside=beside)
                 for row in rows for how, beside in (("beside an equal", EQUAL), ("beside a flood", FLOOD)))


SCHEDULERS = tuple(scheduler(name) for name in ("none", "merge", "deadline"))

CASES = (
    Case("read-4k", "RAM disk, unix socket: 4 KiB random read, QD 32", "ram", Load("read", "4K", 32)),
    Case("write-4k", "RAM disk, unix socket: 4 KiB random write, QD 32", "ram", Load("write", "4K", 32)),
    Case("read-4k-qd1", "RAM disk, unix socket: 4 KiB random read, QD 1", "ram", Load("read", "4K", 1), metric="p50"),
    Case("read-128k", "RAM disk, unix socket: 128 KiB random read, QD 16", "ram", Load("read", "128K", 16)),
    Case("read-1m", "RAM disk, unix socket: 1 MiB random read, QD 4", "ram", Load("read", "1M", 4)),
    Case("write-128k", "RAM disk, unix socket: 128 KiB random write, QD 4", "ram", Load("write", "128K", 4)),
    Case("tcp-read-4k", "RAM disk, TCP loopback: 4 KiB random read, QD 32", "tcp", Load("read", "4K", 32)),
    Case("tcp-write-4k", "RAM disk, TCP loopback: 4 KiB random write, QD 32", "tcp", Load("write", "4K", 32)),
    Case("tcp-read-128k", "RAM disk, TCP loopback: 128 KiB random read, QD 16", "tcp", Load("read", "128K", 16)),
    Case("tls-read-4k", "RAM disk, TLS on a unix socket: 4 KiB random read, QD 32", "tls", Load("read", "4K", 32)),
    Case("tls-tcp-read-4k", "RAM disk, TLS on TCP loopback: 4 KiB random read, QD 32", "tls-tcp", Load("read", "4K", 32)),
    *(Case(f"tls-{op}-128k", f"RAM disk, TLS on a unix socket: 128 KiB random {op}, {STEADY} a second", "tls",
           Load(op, "128K", 4, rate=STEADY), metric="cpu") for op in ("read", "write")),
    Case("file-read-4k", "cached file: 4 KiB random read, QD 32", "file", Load("read", "4K", 32)),
    Case("file-read-128k", "cached file: 128 KiB random read, QD 16", "file", Load("read", "128K", 16)),
    Case("file-write-128k", "cached file: 128 KiB random write, QD 4", "file", Load("write", "128K", 4)),
    Case("file-write-4k", "cached file: 4 KiB random write, QD 32", "file", Load("write", "4K", 32)),
    Case("file-write-4k-qd1", "cached file: 4 KiB random write, QD 1", "file", Load("write", "4K", 1)),
    Case("file-flush", "cached file: 16 clients, each a 4 KiB random write, then FLUSH", "file",
         Load("write", "4K", 1, clients=16, flush=True),
         tuple(map(Row, ("platterd", "nbdkit", "qemu-storage-daemon", "nbd-server")))),
    Case("direct-seq-write", "O_DIRECT file: 4 KiB sequential write, QD 16", "direct",
         Load("write", "4K", 16, sequential=True), DIRECT),
    Case("direct-seq-read", "O_DIRECT file: 4 KiB sequential read, QD 16", "direct",
         Load("read", "4K", 16, sequential=True), DIRECT),
    Case("direct-read", "O_DIRECT file: 4 KiB random read, QD 32", "direct", Load("read", "4K", 32), DIRECT),
    Case("direct-write", "O_DIRECT file: 4 KiB random write, QD 32", "direct", Load("write", "4K", 32), DIRECT),
    Case("direct-mixed", "O_DIRECT file: 4 KiB random read, QD 1, beside 4 clients that write 128 KiB sequentially, QD 8",
         "direct", Load("read", "4K", 1), tuple(Row(row.name, row.kind, row.queue, beside=WRITERS)
                                                for row in (*SCHEDULERS, *map(Row, QEMU))), metric="p99"),
    Case("direct-fair", "O_DIRECT file: 4 KiB random read, QD 4, beside a client that does the same with QD 4, or 256",
         "direct", Load("read", "4K", 4), fairness(*SCHEDULERS, Row(QEMU[0])), metric="p99"),
    Case("slow-seq-write", "a disk that takes 1 ms a request, one at a time, up to 1 MiB: 64 KiB sequential write, QD 32",
         "delay", Load("write", "64K", 32, sequential=True), (scheduler("merge"), scheduler("none")),
         {"queue_depth": 1, "max_sectors_kb": 1024}, {"read_us": 0, "write_us": 1000, "flush_us": 0}),
    *(Case(f"parallel-{size.lower()}-qd{depth}", f"a disk that takes 1 ms a request, 128 at a time: {size.replace('K', ' KiB')} "
           f"sequential write, QD {depth}", "delay", Load("write", size, depth, sequential=True), (scheduler("merge"), scheduler("none")),
           {"queue_depth": 128, "max_sectors_kb": 1280}, {"read_us": 0, "write_us": 1000, "flush_us": 0})
      for size in ("4K", "64K") for depth in (4, 32)),
    Case("slow-fair", "a disk that takes 1 ms a request, 8 at a time: 4 KiB random read, QD 4, beside a client that does the "
         "same with QD 4, or 256", "delay", Load("read", "4K", 4), fairness(*SCHEDULERS),
         {"queue_depth": 8, "max_sectors_kb": 1280}, {"read_us": 1000, "write_us": 0, "flush_us": 0}, metric="p99"),
    Case("slow-flush", "a disk that takes 5 ms for a FLUSH: each client a 4 KiB random write, then FLUSH", "delay",
         Load("write", "4K", 1, flush=True),
         (Row("16 clients", "platterd", load=Load("write", "4K", 1, clients=16, flush=True)), Row("1 client", "platterd")),
         {"queue_depth": 128, "max_sectors_kb": 1280}, {"read_us": 0, "write_us": 0, "flush_us": 5000}),
)

MEDIA = tuple(dict.fromkeys(case.medium for case in CASES))

# No servers: platterd's block layer with the RAM disk's driver, linked in and as a module...
DRIVER_CASES = {"block-read-4k": "read", "block-write-4k": "write"}
# ...and with a driver that does nothing and this scheduler beside none.
QUEUE_CASES = {"block-merge": "merge", "block-deadline": "deadline"}
QUEUE_DEPTHS = (32, 128)
# ...and a session on a RAM disk, with simple and with structured replies.
SESSION_CASE = "session-read-4k"
EXTRAS = ("threads", "idle", "idle-tls", "sparse", "map")
