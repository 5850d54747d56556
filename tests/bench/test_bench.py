# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark judges as it says, and a smoke run of it works; its figures mean nothing here."""

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from bench_support import BLOCK, BUILD, SOURCE
from block_cost import SessionCost
from daemon import SANITIZED
import plot
import report
from cases import CASES, STEADY
from requirements import METRICS, REQUIREMENTS, Requirement, judge


def rounds(metric, *figures):
    return [{metric: figure} for figure in figures]


RESULTS = {"case": {"own": rounds("ns", 100, 110, 130), "other": rounds("ns", 50, 40, 60)}}


@pytest.mark.parametrize("sign, factor, word", [
    ("<= +", 70, "met"), ("<= +", 60, "tie"), ("<= +", 49, "missed"), ("<=", 2.2, "met"), ("<=", 2.1, "tie"), (">=", 2.9, "missed"),
])
def test_verdicts_on_ratios_and_differences(sign, factor, word):
    verdict = judge(Requirement("case", "own", "ns", sign, factor, "other"), RESULTS)
    assert verdict.word == word
    assert verdict.measured == (70 if "+" in sign else pytest.approx(130 / 60))


def test_what_was_not_measured_has_no_verdict():
    assert judge(Requirement("case", "own", "ns", ">=", 1, "nobody"), RESULTS) is None
    assert judge(Requirement("no case", "own", "ns", ">=", 1, "other"), RESULTS) is None


@pytest.mark.parametrize("factor, word", [(110, "met"), (109, "tie"), (99, "missed")])
def test_verdicts_on_figures_without_an_opponent(factor, word):
    verdict = judge(Requirement("case", "own", "ns", "<=", factor, None), RESULTS)
    assert verdict.word == word and verdict.measured == 110


def test_a_figure_that_the_server_did_not_tell_has_no_verdict():
    assert judge(Requirement("case", "own", "system calls", "<=", 1, None), RESULTS) is None
    assert judge(Requirement("case", "own", "system calls", "<=", 1, None), {"case": {"own": [{METRICS["system calls"]: None}]}}) is None


def counters(requests, calls):
    return f"platterd: reactor 0: 1 connections, {requests} requests, {calls} system calls, 0.500 system calls per request, ..."


def test_system_calls_are_those_between_two_lines_of_counters():
    assert report.calls_per_request(counters(100, 50), counters(300, 60)) == 0.05
    assert report.calls_per_request(counters(100, 50), counters(100, 60)) is None
    assert report.calls_per_request(None, counters(100, 60)) is None


def test_idle_connections_and_system_calls_are_required(capsys):
    results = {"read-4k": {"platterd": [{"system_calls_per_request": 0.2}]},
               "idle": {"platterd": [{"rss_bytes_per_connection": 8193, "newcomer_us_beside": 150}]},
               "idle-tls": {"platterd": [{"rss_bytes_per_connection": 49152, "newcomer_us_beside": 150}]}}
    with_none = [needed for needed in REQUIREMENTS if needed.opponent is None]
    verdicts = {(needed.case, needed.metric): judge(needed, results).word for needed in with_none}
    assert verdicts == {("read-4k", "system calls"): "missed", ("idle", "bytes each"): "missed", ("idle", "newcomer"): "met",
                        ("idle-tls", "bytes each"): "met"}
    del results["read-4k"]
    told = [verdict["verdict"] for verdict in report.verdict_table(results, "ext4") if verdict["opponent"] is None]
    assert told == ["not measured", "missed", "met", "met"]
    assert "idle: platterd's resident bytes for a connection" in capsys.readouterr().out


def test_requirements_are_on_rows_that_there_are():
    rows = {case.name: {row.name for row in case.rows} for case in CASES if case.rows}
    for needed in REQUIREMENTS:
        if needed.case in rows:
            assert needed.server in rows[needed.case], needed
            assert needed.opponent in rows[needed.case] | {"best peer", None}, needed


@pytest.mark.parametrize("most, step", [(0.9, 0.2), (1, 0.2), (5, 1), (7, 2), (12, 5), (26, 10), (60000, 20000)])
def test_ticks_are_round_and_few(most, step):
    assert plot.tick_step(most) == pytest.approx(step)


def test_a_smoke_run(directory):
    figures, drawing = os.path.join(directory, "figures"), os.path.join(directory, "plot.svg")
    done = subprocess.run(
        [sys.executable, "-B", os.path.join(SOURCE, "run"), "--quick", "--dir", directory,
         *(f"--{name}={os.path.join(BUILD, path)}" for name, path in (
             ("platterd", "platterd"), ("platterctl", "platterctl"), ("load", "bench/platter-load"), ("floor", "bench/platter-floor"),
             ("block", "bench/platter-block"), ("session", "bench/platter-session"), ("module", "bench/ram.so"), ("plugins", "plugins"))),
         "--servers", "platterd", "--case", "slow-*", "--case", "direct-mixed", "--case", "file-flush", "--case", "read-4k", "--case", "idle*",
         "--case", "tls-*", "--case", "sparse", "--case", "map",
         "--json", figures, "--plot", drawing],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with open(figures, encoding="utf-8") as file:
        told = json.load(file)
    cases = told["cases"]
    alone = [verdict for verdict in told["verdicts"] if verdict["opponent"] is None]
    assert len(alone) == 4 and all(verdict["measured"] > 0 for verdict in alone), alone
    assert {"slow-seq-write", "slow-fair", "slow-flush", "file-flush", "tls-read-4k", "tls-tcp-read-4k", "tls-write-128k", "sparse"} <= set(cases)
    assert max(one["iops"] for one in cases["tls-read-128k"]["platterd"]) <= 1.1 * STEADY
    for case in cases.values():
        assert all(len(figures) == 2 and min(one["iops"] for one in figures) > 0 for figures in case.values()), case
    # What makes these differ is large: even a smoke run shows it.
    assert min(one["iops"] for one in cases["slow-flush"]["16 clients"]) > max(one["iops"] for one in cases["slow-flush"]["1 client"])
    if shutil.which("gnuplot"):
        texts = "".join(xml.etree.ElementTree.parse(drawing).getroot().itertext())
        assert all(name in texts for name in cases)


@pytest.fixture
def session_cost(directory):
    return SessionCost(os.path.join(BUILD, "bench/platter-session"), directory)


def test_both_kinds_of_replies_alone(session_cost):
    figures = session_cost.nanoseconds(3, 1000)
    assert list(figures) == ["simple", "structured"] and all(len(one) == 3 and min(one) > 0 for one in figures.values())


@pytest.mark.skipif(SANITIZED, reason="valgrind cannot run what the address sanitizer has instrumented")
def test_structured_replies_take_few_instructions_more(session_cost):
    count = session_cost.instructions(2000)
    # Some hundred of them; of another order are counts of something else.
    assert 100 < count["simple"] < 10000
    assert count["structured"] <= 1.1 * count["simple"]


def test_each_scheduler_alone():
    done = subprocess.run([BLOCK, "--json", "--scheduler", "none", "--scheduler", "merge", "--scheduler", "deadline", "--rounds", "3",
                           "--count", "1000", "--depth", "128", "--queue", "queue_depth=16"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == ["none", "merge", "deadline"] and all(len(one) == 3 and min(one) > 0 for one in figures.values())


@pytest.mark.parametrize("arguments, complaint", [
    (["--scheduler", "elevator"], "there is no scheduler"), (["--queue", "queue_depth"], "is not NAME=VALUE"),
    (["--queue", "queue_depth=0"], "is not a number"), (["--scheduler", "none", "--module", "ram.so"], "either"),
])
def test_what_is_refused(arguments, complaint):
    done = subprocess.run([BLOCK, "--count", "1", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and complaint in done.stderr


@pytest.mark.parametrize("depth", ["1", "32"])
def test_the_ways_to_write(directory, depth):
    """All of them write, and what they made is gone."""
    path = os.path.join(directory, "file")
    done = subprocess.run([os.path.join(BUILD, "bench/platter-writes"), "--size", "1M", "--depth", depth, "--rounds", "1", "--seconds", "0.05", path],
                          capture_output=True, text=True, check=True)
    lines = [line.split("writes/s")[0].rsplit(None, 1) for line in done.stdout.splitlines()]
    assert [way.strip() for way, _ in lines] == ["at once", "pool, in batches", "ring"]
    assert all(int(rate) > 0 for _, rate in lines)
    assert not os.path.exists(path)
