# SPDX-License-Identifier: BSD-2-Clause
"""What a request costs in the block layer: platter-block's figures, and callgrind's of it."""

import glob
import json
import os
import re
import statistics
import subprocess

import servers
from cases import QUEUE_DEPTHS

COUNTED = "block_round"  # platter-block's function that is a round and nothing else
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


class BlockCost:
    """
    PROGRAM, platter-block, and MODULE, both copied to DIRECTORY: not in all build folders is a module trusted, and
    valgrind gives up on debug information that is newer than itself.  Time is measured on CPUS.
    """

    def __init__(self, program, module, directory, cpus=None):
        self.directory = directory
        self.program = self.copy(program)
        self.module = self.copy(module)
        self.cpus = cpus

    def copy(self, path):
        to = os.path.join(self.directory, os.path.basename(path))
        run("strip", "--strip-debug", "-o", to, path)
        os.chmod(to, 0o755)
        return to

    def command(self, op, count, rounds, *arguments):
        return [self.program, "--json", "--op", op, "--count", str(count), "--rounds", str(rounds), *arguments]

    def nanoseconds(self, op, rounds, count, *arguments):
        """Of one request, a figure a round and subject: {"linked": [...], "module": [...]}."""
        return json.loads(run(*self.command(op, count, rounds, *arguments), preexec_fn=servers.child_setup(self.cpus)))

    def instructions(self, op, count, *arguments):
        """Of one request: {"linked": ..., "module": ...}.  Start-up isn't in it, nor what warms things up."""
        out = os.path.join(self.directory, f"callgrind-{op}")
        subjects = json.loads(run("valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--toggle-collect=" + COUNTED,
                                  "--dump-after=" + COUNTED, *self.command(op, count, 1, *arguments)))
        result = {}
        # A file for each round, OUT.1 and so on; OUT itself is what came after them.
        for number, subject in enumerate(subjects, 1):
            with open(f"{out}.{number}", encoding="utf-8") as file:
                text = file.read()
            # What a module's memory is mapped from is no file that callgrind could read names from.
            in_module = bool(re.search(r"^c?ob=\(\d+\) \?\?\?$", text, re.M)) and "ram_submit" not in text
            if in_module != (subject == "module"):
                raise RuntimeError(f"{subject}: its round ran {'' if in_module else 'not '}in the module")
            result[subject] = int(re.search(r"^totals: (\d+)$", text, re.M)[1]) / count
        for path in glob.glob(out + "*"):
            os.unlink(path)
        return result

    def driver_arguments(self):
        return ["--module", self.module]

    def of_driver(self, op, rounds, quick):
        """The RAM disk's driver linked in and as a module.  Time swings: the requirement is on instructions."""
        times = self.nanoseconds(op, rounds, QUICK if quick else TIMED, *self.driver_arguments())
        counts = self.instructions(op, COUNTED_REQUESTS, *self.driver_arguments(), "--size", COUNTED_SIZE)
        return {subject: [{"instructions": counts[subject], "ns": ns} for ns in figures] for subject, figures in times.items()}

    def of_queue(self, scheduler, rounds, quick):
        """A driver that does nothing, with SCHEDULER and with none: rows "none, read, depth 32" and so on."""
        result = {}
        for op, depth in ((op, depth) for op in ("read", "write") for depth in QUEUE_DEPTHS):
            arguments = ["--scheduler", "none", "--scheduler", scheduler, "--depth", str(depth)]
            times = self.nanoseconds(op, rounds * QUEUE_ROUNDS, QUICK if quick else TIMED // QUEUE_ROUNDS, *arguments)
            counts = self.instructions(op, COUNTED_REQUESTS, *arguments)
            for subject, figures in times.items():
                result[f"{subject}, {op}, depth {depth}"] = [
                    {"instructions": counts[subject], "ns": statistics.median(figures[first:first + QUEUE_ROUNDS])}
                    for first in range(0, len(figures), QUEUE_ROUNDS)]
        return result
