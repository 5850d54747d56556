# SPDX-License-Identifier: BSD-2-Clause
"""Running platter to its end: what it prints, or how it refuses."""

import subprocess

from daemon import PLATTER

# EXIT STATUS in platter(8).
FAILED, USAGE, NOT_ATTACHED, UNREACHABLE, REFUSED, TLS, KERNEL = 1, 2, 3, 7, 8, 9, 11


def run(*arguments, **keywords):
    return subprocess.run([PLATTER, *arguments], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL, **keywords)


def told(*arguments, **keywords):
    """What it prints when all is well, with nothing to complain of."""
    done = run(*arguments, **keywords)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(status, *arguments, says, **keywords):
    """It ends with STATUS, and one line that says why."""
    done = run(*arguments, **keywords)
    assert done.returncode == status, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and says in done.stderr, done.stderr
    return done.stderr
