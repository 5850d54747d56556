# SPDX-License-Identifier: BSD-2-Clause
"""
The model of the queue, queue.pml, keeps to its rules in every run that there is; and spin notices when it doesn't.
PLATTER_MODEL_WRITES=3 has three WRITEs in it, which takes minutes, instead of two.
"""

import os
import re
import shutil
import subprocess

import pytest

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "queue.pml")
WRITES = os.environ.get("PLATTER_MODEL_WRITES", "2")

# Which rule each mistake breaks; the name of a rule is also what the model asserts.
MISTAKES = {
    "OVERTAKES": "order",        # a change doesn't wait for an earlier one of the same block
    "JOINS": "durable",          # a FLUSH shares a sync that runs already
    "SYNCS_BESIDE": "durable",   # a group's sync doesn't wait for its changes
    "ANSWERS_EARLY": "durable",  # ...nor its changes' answers for the sync
    "ANSWERS_EACH": "durable",   # of a group only those fail whom the driver failed
    "FORGETS": "sticky",         # a failure is forgotten with its group
    "DROPS_STARTED": "once",     # a disconnect drops what the driver has
    "PASSES": "result",          # what failed in company isn't tried alone
    "SLEEPS": "progress",        # nobody wakes who waits for another's data
    "STARVES": "progress",       # FUA goes when there is no FLUSH
}

pytestmark = pytest.mark.skipif(not (shutil.which("spin") and shutil.which("gcc")), reason="spin or gcc is not installed")


def broken(directory, rule, *definitions):
    """The rules that spin finds broken when it looks for RULE, one that holds in every state or "progress"."""
    if rule == "progress":
        definitions += ("ENDLESS",)
        compile_for, search_for = ["-DNFAIR=4"], ["-a", "-f"]
    else:
        compile_for, search_for = ["-DSAFETY"], ["-c0"]
    for step in (["spin", "-DWRITES=" + WRITES, *("-D" + definition for definition in definitions), "-a", MODEL],
                 ["gcc", "-w", "-O0" if WRITES == "2" else "-O2", *compile_for, "-o", "pan", "pan.c"],
                 ["./pan", "-m1000000", *search_for]):
        done = subprocess.run(step, cwd=directory, capture_output=True, text=True, timeout=3600)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "errors: " in done.stdout and "search depth too small" not in done.stdout
    found = set(re.findall(r"assertion violated (\w+)", done.stdout))
    if "acceptance cycle" in done.stdout:
        found.add("progress")
    assert bool(found) == ("errors: 0" not in done.stdout)
    return found


@pytest.mark.parametrize("rule", ["safety", "progress"])
def test_the_model_keeps_to_its_rules(directory, rule):
    assert not broken(directory, rule)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(directory, mistake):
    assert MISTAKES[mistake] in broken(directory, MISTAKES[mistake], "MISTAKE_" + mistake)
