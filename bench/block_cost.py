# SPDX-License-Identifier: BSD-2-Clause
"""What a request costs without sockets: platter-block's and platter-session's figures, and callgrind's of them."""

import glob
import json
import os
import re
import statistics
import subprocess

import servers
from cases import QUEUE_DEPTHS

COUNTED_REQUESTS = 10000
COUNTED_SIZE = "4M"  # of the RAM disk, which is written first
TIMED = 500000  # requests of a round...
QUEUE_ROUNDS = 5  # ...of this many shorter ones, by their median, where the difference of two figures is what counts
QUICK = 10000
LIMIT = 120  # seconds


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Cost:
    """
    PROGRAM, whose FUNCTION is a round and nothing else, copied to DIRECTORY: not in all build folders is a module trusted, and
    valgrind gives up on debug information that is newer than itself.  Time is measured on CPUS.
    """

    def __init__(self, program, function, directory, cpus=None):
        self.directory = directory
        self.program = self.copy(program)
        self.function = function
        self.cpus = cpus

    def copy(self, path):
        to = os.path.join(self.directory, os.path.basename(path))
        run("strip", "--strip-debug", "-o", to, path)
        os.chmod(to, 0o755)
        return to

    def command(self, count, rounds, *arguments):
        return [self.program, "--json", "--count", str(count), "--rounds", str(rounds), *arguments]

    def nanoseconds(self, rounds, count, *arguments):
        """Of one request, a figure a round and subject: {"linked": [...], "module": [...]}."""
        return json.loads(run(*self.command(count, rounds, *arguments), preexec_fn=servers.child_setup(self.cpus)))

    def instructions(self, count, *arguments):
        """Of one request: {"linked": ..., "module": ...}.  Start-up isn't in it, nor what warms things up."""
        out = os.path.join(self.directory, "callgrind")
        subjects = json.loads(run("valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--toggle-collect=" + self.function,
                                  "--dump-after=" + self.function, *self.command(count, 1, *arguments)))
        result = {}
        # A file for each round, OUT.1 and so on; OUT itself is what came after them.
        for number, subject in enumerate(subjects, 1):
            with open(f"{out}.{number}", encoding="utf-8") as file:
                text = file.read()
            self.check(subject, text)
            result[subject] = int(re.search(r"^totals: (\d+)$", text, re.M)[1]) / count
        for path in glob.glob(out + "*"):
            os.unlink(path)
        return result

    def check(self, subject, text):
        """Raises RuntimeError when TEXT, callgrind's, can't be of SUBJECT."""


class BlockCost(Cost):
    """platter-block's, and MODULE's."""

    def __init__(self, program, module, directory, cpus=None):
        super().__init__(program, "block_round", directory, cpus)
        self.module = self.copy(module)

    def check(self, subject, text):
        # What a module's memory is mapped from is no file that callgrind could read names from.
        in_module = bool(re.search(r"^c?ob=\(\d+\) \?\?\?$", text, re.M)) and "ram_submit" not in text
        if in_module != (subject == "module"):
            raise RuntimeError(f"{subject}: its round ran {'' if in_module else 'not '}in the module")

    def driver_arguments(self, op):
        return ["--op", op, "--module", self.module]

    def of_driver(self, op, rounds, quick):
        """The RAM disk's driver linked in and as a module.  Time swings: the requirement is on instructions."""
        times = self.nanoseconds(rounds, QUICK if quick else TIMED, *self.driver_arguments(op))
        return joined(times, self.instructions(COUNTED_REQUESTS, *self.driver_arguments(op), "--size", COUNTED_SIZE))

    def of_queue(self, scheduler, rounds, quick):
        """A driver that does nothing, with SCHEDULER and with none: rows "none, read, depth 32" and so on."""
        result = {}
        for op, depth in ((op, depth) for op in ("read", "write") for depth in QUEUE_DEPTHS):
            arguments = ["--op", op, "--scheduler", "none", "--scheduler", scheduler, "--depth", str(depth)]
            times = self.nanoseconds(rounds * QUEUE_ROUNDS, QUICK if quick else TIMED // QUEUE_ROUNDS, *arguments)
            counts = self.instructions(COUNTED_REQUESTS, *arguments)
            for subject, figures in times.items():
                result[f"{subject}, {op}, depth {depth}"] = [
                    {"instructions": counts[subject], "ns": statistics.median(figures[first:first + QUEUE_ROUNDS])}
                    for first in range(0, len(figures), QUEUE_ROUNDS)]
        return result


class SessionCost(Cost):
    """platter-session's."""

    def __init__(self, program, directory, cpus=None):
        super().__init__(program, "session_round", directory, cpus)

    def of_replies(self, rounds, quick):
        """Simple and structured ones."""
        return joined(self.nanoseconds(rounds, QUICK if quick else TIMED), self.instructions(COUNTED_REQUESTS))


def joined(times, counts):
    """Rounds that have both figures."""
    return {subject: [{"instructions": counts[subject], "ns": ns} for ns in figures] for subject, figures in times.items()}
