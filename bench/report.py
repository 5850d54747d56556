# SPDX-License-Identifier: BSD-2-Clause
"""The run's figures as tables."""

import os
import statistics

from requirements import REQUIREMENTS, judge, median, ratios, values

DISTURBED_LIMIT = 0.05  # of one CPU
WIDE = 0.25  # of a ratio


def file_system(path):
    """The type of the file system that PATH is on."""
    device = os.stat(path).st_dev
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[2] == f"{os.major(device)}:{os.minor(device)}":
                return fields[fields.index("-") + 1]
    return "unknown"


def table(rows):
    """The first row is the heading; the first column is text, the others are figures."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def spread(figures, digits):
    return f"{min(figures):.{digits}f}..{max(figures):.{digits}f}"


def times(case, metric, server):
    """How many times the floor's figure."""
    rounds = ratios(case, metric, server, "floor")
    return f"{statistics.median(rounds):.2f}" if rounds and server != "floor" else "-"


def heading(machine, options):
    print(f"kernel {machine['kernel']}, {machine['cpus']} CPUs, net.core.wmem_max {machine['wmem_max']}, "
          f"files on {machine['file_system']}")
    if machine["server_cpus"]:
        print(f"servers on CPU {machine['server_cpus'][0]}, load generator on CPU {machine['load_cpus'][0]}, "
              f"{options.rounds} rounds of {options.seconds:g} s")
    else:
        print("only one CPU: servers and load generator share it, and the figures say little")
    print("peers: " + ", ".join(f"{name} {version or ''}".strip() for name, version in machine["versions"].items()))
    if machine["not_installed"]:
        print("not found, left out: " + ", ".join(machine["not_installed"]))
    if options.quick:
        print("a smoke run: the figures mean nothing")


def case_table(title, case):
    rows = [("", "kIOPS", "range", "MB/s", "x floor", "CPU us/IO", "range", "x floor",
             "p50 us", "range", "p99", "p99.9", "client CPU")]
    for server, rounds in case.items():
        if not rounds:
            continue
        rates = [rate / 1000 for rate in values(rounds, "iops")]

        def middle(key, rounds=rounds):
            return statistics.median(one[key] for one in rounds)

        rows.append((
            server, f"{statistics.median(rates):.1f}", spread(rates, 1), f"{middle('MBps'):.0f}",
            times(case, "iops", server),
            f"{median(rounds, 'cpu'):.2f}", spread(values(rounds, "cpu"), 2), times(case, "cpu", server),
            f"{median(rounds, 'p50'):.1f}", spread(values(rounds, "p50"), 1),
            f"{middle('p99_us'):.0f}", f"{middle('p999_us'):.0f}", f"{middle('client_cpu_share') * 100:.0f} %"))
    print(f"\n{title}")
    table(rows)
    print(end="", flush=True)


def block_table(title, case):
    """What a request costs with the driver linked in and as a module."""
    rows = [("", "instructions", "x linked", "ns", "range", "x linked")]
    for subject, rounds in case.items():
        def factor(metric, subject=subject):
            return f"{statistics.median(ratios(case, metric, subject, 'linked')):.3f}" if subject != "linked" else "-"

        rows.append((subject, f"{median(rounds, 'instructions'):.1f}", factor("instructions"), f"{median(rounds, 'ns'):.1f}",
                     spread(values(rounds, "ns"), 1), factor("ns")))
    print(f"\n{title}; of one request")
    table(rows)
    print(end="", flush=True)


def idle_lines(idle):
    print(f"\n{idle['connections']} idle connections: platterd's resident memory grew by {idle['rss_kib_grown']} KiB, "
          f"{idle['rss_bytes_per_connection']:.0f} bytes each, from {idle['rss_kib_before']} KiB")
    print(f"a new client, from connect to its first 4 KiB: {idle['newcomer_us_beside']:.0f} us beside them, "
          f"{idle['newcomer_us_alone']:.0f} us alone", flush=True)


def wide(verdict):
    return verdict.word == "tie" and verdict.high - verdict.low > WIDE * verdict.ratio


METRIC_TITLES = {"iops": "rate", "cpu": "CPU/IO", "p50": "p50", "instructions": "instructions"}


def verdict_table(results):
    """Prints the verdicts and returns them as plain data."""
    rows = [("requirement", "needed", "measured", "rounds", "verdict")]
    data = []
    for needed in REQUIREMENTS:
        verdict = judge(needed, results)
        opponent = needed.opponent
        if verdict and verdict.opponent != opponent:
            opponent += f" ({verdict.opponent})"
        what = f"{needed.case}: {needed.server}'s {METRIC_TITLES[needed.metric]} to {opponent}'s"
        need = f"{needed.sign} {needed.factor:g}"
        if verdict:
            rows.append((what, need, f"{verdict.ratio:.3f}", f"{verdict.low:.3f}..{verdict.high:.3f}",
                         verdict.word + (" (wide)" if wide(verdict) else "")))
        elif needed.case in results:
            rows.append((what, need, "-", "-", "not measured"))
        data.append({**needed._asdict(), "verdict": "not measured"} if verdict is None else
                    {**needed._asdict(), "opponent": verdict.opponent, "ratio": verdict.ratio,
                     "rounds": [verdict.low, verdict.high], "verdict": verdict.word})
    print("\nRequirements, by the median of the rounds' ratios. A tie missed by less than the rounds differ and\n"
          "counts as met; a wide one, whose rounds differ by more than a quarter, means a noisy run.")
    table(rows)
    return data


def disturbed(one):
    """How much of a CPU was not for the measurement ONE: other processes' and the hypervisor's."""
    return one["foreign_cpu"] + one["steal"]


def disturbance(results):
    everything = [one for case in results.values() for rounds in case.values() for one in rounds]
    if not everything:
        return
    shares = [disturbed(one) for one in everything]
    print(f"\nOther work, the hypervisor's included, had {statistics.median(shares) * 100:.0f} % of a CPU at the "
          f"median, {max(shares) * 100:.0f} % at most; more than {DISTURBED_LIMIT * 100:.0f} % in "
          f"{sum(1 for share in shares if share > DISTURBED_LIMIT)} of {len(everything)} measurements")
    bound = sum(1 for one in everything if one["client_cpu_share"] > 0.95)
    if bound:
        print(f"{bound} measurements were bound by the load generator (more than 95 % of its CPU)")
