# SPDX-License-Identifier: BSD-2-Clause
"""What platterd has to reach: most of it relative to servers that were measured in the same run."""

import statistics
from collections import namedtuple

from cases import QUEUE_DEPTHS

PEERS = ("nbdkit", "qemu-storage-daemon", "qemu-storage-daemon, native", "nbd-server")

# A sign with a + is about the difference of the two, any other about their ratio; without an opponent it is about the
# figure itself.  FILE_SYSTEM: said of this one only.
Requirement = namedtuple("Requirement", "case server metric sign factor opponent file_system", defaults=(None,))
Verdict = namedtuple("Verdict", "opponent measured low high word")

# The opponent "best peer" is the one with the best rate (for latencies: the best latency) of that case.
REQUIREMENTS = [Requirement(*row) for row in (
    # case             server           metric  need        opponent
    ("read-4k",         "platterd",      "iops", ">=", 0.95, "floor"),
    ("read-4k",         "platterd",      "iops", ">=", 2.5,  "nbdkit"),
    ("read-4k",         "platterd",      "cpu",  "<=", 1.15, "floor"),
    ("read-4k",         "platterd-poll", "iops", ">=", 1.0,  "platterd"),
    ("read-4k",         "platterd",      "system calls", "<=", 0.1, None),
    ("write-4k",        "platterd",      "iops", ">=", 0.8,  "floor"),
    ("write-4k",        "platterd",      "cpu",  "<=", 1.15, "floor"),
    ("write-4k",        "platterd-poll", "iops", ">=", 1.4,  "floor"),
    ("write-4k",        "platterd-poll", "iops", ">=", 1.8,  "nbdkit"),
    ("read-4k-qd1",     "platterd",      "p50",  "<=", 1.05, "floor"),
    ("read-4k-qd1",     "platterd-poll", "p50",  "<=", 0.5,  "best peer"),
    ("read-128k",       "platterd",      "iops", ">=", 0.97, "floor"),
    ("read-128k",       "platterd",      "iops", ">",  1.0,  "best peer"),
    ("read-1m",         "platterd",      "iops", ">=", 0.97, "floor"),
    ("read-1m",         "platterd",      "iops", ">",  1.0,  "best peer"),
    ("write-128k",      "platterd",      "iops", ">=", 0.97, "floor"),
    ("write-128k",      "platterd",      "iops", ">",  1.0,  "best peer"),
    ("tcp-read-4k",     "platterd",      "iops", ">=", 2.0,  "nbdkit"),
    ("file-read-4k",    "platterd",      "iops", ">=", 1.3,  "nbdkit"),
    ("file-read-4k",    "platterd",      "cpu",  "<=", 0.65, "nbdkit"),
    ("file-read-128k",  "platterd",      "iops", ">=", 0.97, "best peer"),
    ("file-read-128k",  "platterd",      "cpu",  "<=", 0.95, "best peer"),
    ("file-write-128k", "platterd",      "iops", ">=", 0.97, "best peer"),
    ("file-write-128k", "platterd",      "cpu",  "<=", 0.95, "best peer"),
    ("idle",            "platterd",      "bytes each", "<=", 8192, None),
    # From connect to its first 4 KiB, in us.
    ("idle",            "platterd",      "newcomer", "<=", 10000, None),
    ("tls-read-4k",     "platterd",      "iops", ">=", 2.0,  "nbdkit"),
    ("tls-tcp-read-4k", "platterd",      "iops", ">=", 2.0,  "nbdkit"),
    ("tls-read-128k",   "platterd",      "cpu",  "<=", 0.8,  "nbdkit"),
    ("tls-write-128k",  "platterd",      "cpu",  "<=", 0.8,  "nbdkit"),
    ("idle-tls",        "platterd",      "bytes each", "<=", 49152, None),
    ("sparse",          "holes",         "iops", ">=", 20,   "data"),
    ("map",             "platterd",      "seconds", "<", 1.0, "nbdkit"),
    ("file-write-4k",     "platterd", "iops", ">=", 1.7, "best peer", "ext4"),
    ("file-write-4k-qd1", "platterd", "iops", ">=", 1.0, "best peer"),
    ("file-flush",        "platterd", "iops", ">=", 0.9, "nbdkit", "ext4"),
    ("direct-seq-write",  "platterd", "iops", ">=", 4.0, "qemu-storage-daemon"),
    ("direct-seq-read",   "platterd", "iops", ">=", 2.0, "qemu-storage-daemon"),
    ("direct-read",       "platterd", "iops", ">=", 1.0, "best peer"),
    ("direct-write",      "platterd", "iops", ">=", 1.0, "best peer"),
    ("direct-mixed",      "platterd, deadline", "p99", "<=", 0.5, "platterd, none"),
    ("slow-seq-write",    "platterd, merge", "iops", ">=", 8.0, "platterd, none"),
    *((f"parallel-{size}-qd{depth}", "platterd, merge", "iops", ">=", 0.95, "platterd, none")
      for size in ("4k", "64k") for depth in (4, 32)),
    ("slow-flush",        "16 clients", "iops", ">=", 4.0, "1 client"),
    # A share is what falls to one of two.
    *((case, f"platterd, {scheduler}, beside a flood", "p99", "<=", 2.0, f"platterd, {scheduler}, beside an equal")
      for case in ("direct-fair", "slow-fair") for scheduler in ("none", "merge", "deadline")),
    ("block-read-4k",   "module", "instructions", "<=", 1.02, "linked"),
    ("block-write-4k",  "module", "instructions", "<=", 1.02, "linked"),
    ("session-read-4k", "structured", "instructions", "<=", 1.1, "simple"),
    *((f"block-{scheduler}", f"{scheduler}, {op}, depth {depth}", "ns", "<= +", most, f"none, {op}, depth {depth}")
      for scheduler, most in (("merge", 60), ("deadline", 120)) for op in ("read", "write") for depth in QUEUE_DEPTHS),
)]

# The metrics' names in what platter-load reports, and the measurement of the block layer.
METRICS = {"iops": "iops", "cpu": "server_cpu_us_per_io", "p50": "p50_us", "p99": "p99_us",
           "instructions": "instructions", "ns": "ns", "system calls": "system_calls_per_request",
           "bytes each": "rss_bytes_per_connection", "newcomer": "newcomer_us_beside", "seconds": "seconds"}


def values(rounds, metric):
    return [one[METRICS[metric]] for one in rounds]


def median(rounds, metric):
    return statistics.median(values(rounds, metric))


def best_peer(case, metric):
    """The name of the best peer in CASE, a dictionary from servers to rounds."""
    peers = [name for name in PEERS if case.get(name)]
    if metric in ("p50", "p99"):
        return min(peers, key=lambda name: median(case[name], metric), default=None)
    return max(peers, key=lambda name: median(case[name], "iops"), default=None)


def ratios(case, metric, server, opponent):
    """One ratio a round: neighbours in time, so that a machine that drifts does so in both."""
    mine, theirs = values(case.get(server, ()), metric), values(case.get(opponent, ()), metric)
    return [a / b for a, b in zip(mine, theirs)]


def differences(case, metric, server, opponent):
    mine, theirs = values(case.get(server, ()), metric), values(case.get(opponent, ()), metric)
    return [a - b for a, b in zip(mine, theirs)]


def figures(case, metric, server):
    """One a round, where the server could tell."""
    return [one[METRICS[metric]] for one in case.get(server, ()) if one.get(METRICS[metric]) is not None]


def holds(measured, sign, factor):
    return {">=": measured >= factor, ">": measured > factor, "<=": measured <= factor, "<": measured < factor}[sign.rstrip(" +")]


def judge(requirement, results):
    """The verdict on the median of the rounds' ratios, differences, or figures; None when they were not measured.

    When the median misses but what is needed lies within the rounds' range, the miss
    is within the run's own spread: a tie, which counts as met.
    """
    case = results.get(requirement.case, {})
    opponent = requirement.opponent
    if opponent == "best peer":
        opponent = best_peer(case, requirement.metric)
    if requirement.opponent is None:
        rounds = figures(case, requirement.metric, requirement.server)
    else:
        compare = differences if "+" in requirement.sign else ratios
        rounds = compare(case, requirement.metric, requirement.server, opponent)
    if not rounds:
        return None
    middle, low, high = statistics.median(rounds), min(rounds), max(rounds)
    if holds(middle, requirement.sign, requirement.factor):
        word = "met"
    elif holds(low, requirement.sign, requirement.factor) or holds(high, requirement.sign, requirement.factor):
        word = "tie"
    else:
        word = "missed"
    return Verdict(opponent, middle, low, high, word)
