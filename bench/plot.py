# SPDX-License-Identifier: BSD-2-Clause
"""The run's figures as one plot, drawn by gnuplot: a panel for each case, a bar for each row."""

import math
import os
import shutil
import statistics
import subprocess
import textwrap

from cases import CASES, DRIVER_CASES, QUEUE_CASES, SESSION_CASE
from requirements import values

COLUMNS = 2
WIDTH, HEIGHT = 760, 24  # pixels: of a panel; of a bar
NAMES, RIGHT = 290, 30  # beside its bars
LINE, HEAD, FOOT = 18, 30, 60  # of its title, above its bars; below them
WRAP = 62  # characters
TOP = 50
TICKS = 5
LIMIT = 60  # seconds
UNITS = {"iops": ("thousand requests/s", 1000), "p50": ("median latency, us", 1), "p99": ("latency, 99th percentile, us", 1),
         "ns": ("ns of CPU time for a request", 1), "cpu": ("the server's CPU us for a request", 1)}
# The same server has the same colour in all panels; what platterd does in other ways has its other shades.
COLOURS = {"floor": "#999999", "nbdkit": "#e69f00", "qemu-storage-daemon": "#009e73", "nbd-server": "#cc79a7"}
OWN, OWN_OTHERWISE, CONTROL = "#0072b2", "#56b4e9", "#b5cfe0"


def colour(name):
    if name == "platterd":
        return OWN
    if name.startswith(("platterd, none", "none", "linked", "simple", "1 client")):
        return CONTROL
    return next((value for start, value in COLOURS.items() if name.startswith(start)), OWN_OTHERWISE)


def panels(results):
    """(title, metric, result) of each case that was measured."""
    for case in CASES:
        if any(results.get(case.name, {}).values()):
            yield [case.name, *textwrap.wrap(case.title, WRAP)], case.metric, results[case.name]
    for name in (*DRIVER_CASES, *QUEUE_CASES):
        if name in results:
            yield [name, "the block layer alone, 4 KiB random"], "ns", results[name]
    if any(results.get("sparse", {}).values()):
        yield ["sparse", "RAM disk: 1 MiB sequential read, structured replies"], "iops", results["sparse"]
    if SESSION_CASE in results:
        yield [SESSION_CASE, "a session alone, 4 KiB random"], "ns", results[SESSION_CASE]


def quoted(text):
    """As a string of gnuplot's; it would read what stands between backquotes as a command."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "'").replace("\n", "\\n") + '"'


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def tick_step(most):
    """1, 2 or 5 times a power of ten, for about TICKS of them."""
    power = 10 ** math.floor(math.log10(most / TICKS))
    return next(power * step for step in (1, 2, 5, 10) if power * step * TICKS >= most)


def panel(title, metric, result, left, bottom, width, height):
    """Horizontal bars, the first row on top, with whiskers from the least to the most of the rounds."""
    unit, scale = UNITS[metric]
    rows = [(name, [value / scale for value in values(rounds, metric)]) for name, rounds in result.items() if rounds]
    most = max(max(figures) for _, figures in rows) or 1
    yield f"set origin {left:.5f},{bottom:.5f}; set size {width:.5f},{height:.5f}"
    yield f"set title {quoted(chr(10).join(title))}; set xlabel {quoted(unit)}"
    yield f"set xrange [0:{most * 1.15}]; set yrange [{len(rows) - 0.4}:-0.6]; set xtics {tick_step(most)}"
    yield "set ytics (" + ", ".join(f"{quoted(name)} {place}" for place, (name, _) in enumerate(rows)) + ")"
    yield "unset label; unset object"
    for place, (name, figures) in enumerate(rows):
        yield (f"set object rectangle from 0,{place - 0.35} to {statistics.median(figures)},{place + 0.35} "
               f"fillcolor rgb '{colour(name)}' fillstyle solid noborder")
        yield f"set label {quoted(number(statistics.median(figures)))} at {max(figures)},{place} offset 0.7,0 front"
    yield "$bars << END"
    for place, (_, figures) in enumerate(rows):
        yield f"{statistics.median(figures)} {place} {min(figures)} {max(figures)}"
    yield "END"
    yield "plot $bars using 1:2:3:4 with xerrorbars linecolor rgb 'black' pointtype 0 notitle"


def script(results, path, subtitle):
    """Two columns of panels, each as high as its bars need."""
    places, heights = [], [0] * COLUMNS
    for title, metric, result in panels(results):
        column = heights.index(min(heights))
        height = HEAD + LINE * len(title) + FOOT + HEIGHT * sum(1 for rounds in result.values() if rounds)
        places.append((title, metric, result, column, heights[column], height))
        heights[column] += height
    whole = TOP + max(heights)
    yield f"set terminal svg size {COLUMNS * WIDTH},{whole} font 'sans-serif,12' noenhanced background rgb 'white'"
    yield f"set output {quoted(path)}"
    yield (f"set multiplot title {quoted('medians, and the least and the most, of ' + subtitle)}")
    yield "set border 3; set tics nomirror; set grid xtics; set format x '%.10g'"
    for title, metric, result, column, top, height in places:
        left, bottom = column / COLUMNS, 1 - (TOP + top + height) / whole
        yield f"set lmargin at screen {left + NAMES / WIDTH / COLUMNS}"
        yield f"set rmargin at screen {left + (1 - RIGHT / WIDTH) / COLUMNS}"
        yield f"set bmargin at screen {bottom + FOOT / whole}"
        yield f"set tmargin at screen {bottom + (height - HEAD - LINE * len(title)) / whole}"
        yield from panel(title, metric, result, left, bottom, 1 / COLUMNS, height / whole)
    yield "unset multiplot"


def draw(results, path, subtitle):
    """Whether it could."""
    if not shutil.which("gnuplot") or not any(panels(results)):
        return False
    done = subprocess.run(["gnuplot"], input="\n".join(script(results, os.path.abspath(path), subtitle)) + "\n", text=True,
                          capture_output=True, timeout=LIMIT, check=False)
    if done.returncode != 0 or not os.path.getsize(path):
        print(f"no plot: gnuplot ended with {done.returncode}: {done.stderr.strip()}")
        return False
    return True
