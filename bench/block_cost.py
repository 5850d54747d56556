# SPDX-License-Identifier: BSD-2-Clause
"""What a request costs in the block layer and the RAM disk's driver: platter-block's figures, and callgrind's of it."""

import glob
import json
import os
import re
import subprocess

COUNTED = "block_round"  # platter-block's function that is a round and nothing else
SIZE = "4M"
LIMIT = 120  # seconds


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class BlockCost:
    """
    PROGRAM, platter-block, and MODULE, both copied to DIRECTORY: not in all build folders is a module trusted, and
    valgrind gives up on debug information that is newer than itself.
    """

    def __init__(self, program, module, directory):
        self.directory = directory
        self.module = self.copy(module)
        self.command = [self.copy(program), "--module", self.module, "--json"]

    def copy(self, path):
        to = os.path.join(self.directory, os.path.basename(path))
        run("strip", "--strip-debug", "-o", to, path)
        os.chmod(to, 0o755)
        return to

    def nanoseconds(self, op, rounds, count, **options):
        """Of one request, a figure a round: {"linked": [...], "module": [...]}."""
        return json.loads(run(*self.command, "--op", op, "--rounds", str(rounds), "--count", str(count), **options))

    def instructions(self, op, count):
        """Of one request: {"linked": ..., "module": ...}. Start-up isn't in it, nor what warms things up."""
        out = os.path.join(self.directory, f"callgrind-{op}")
        subjects = json.loads(run("valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--toggle-collect=" + COUNTED,
                                  "--dump-after=" + COUNTED, *self.command, "--op", op, "--size", SIZE, "--rounds", "1",
                                  "--count", str(count)))
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
