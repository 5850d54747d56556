# SPDX-License-Identifier: BSD-2-Clause
"""The run's figures as tables."""

import os
import re
import statistics

from requirements import REQUIREMENTS, differences, judge, median, ratios, values

DISTURBED_LIMIT = 0.05  # of one CPU
WIDE = 0.25  # of a ratio
MERGING = ("direct", "delay")  # media where merged requests are worth a column


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
          f"files on {machine['file_system']} ({machine['disk']})")
    if machine["server_cpus"]:
        print(f"servers on CPU {machine['server_cpus'][0]}, load generator on CPU {machine['load_cpus'][0]}, "
              f"{options.rounds} rounds of {options.seconds:g} s")
    else:
        print("only one CPU: servers and load generator share it, and the figures say little")
    print("peers: " + ", ".join(f"{name} {version or ''}".strip() for name, version in machine["versions"].items()))
    if machine["not_installed"]:
        print("not found, left out: " + ", ".join(machine["not_installed"]))
    if options.queue:
        print("platterd's queues: " + ", ".join(options.queue))
    if options.quick:
        print("a smoke run: the figures mean nothing")


def disk(path):
    """The disk that PATH is on, with what the kernel does to its requests."""
    device = os.stat(path).st_dev
    folder = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not os.path.isdir(os.path.join(folder, "queue")):
        folder = os.path.dirname(folder)  # a partition's disk
    try:
        with open(os.path.join(folder, "queue/scheduler"), encoding="ascii") as file:
            scheduler = file.read().split("[")[1].split("]")[0]
        with open(os.path.join(folder, "queue/rotational"), encoding="ascii") as file:
            rotational = file.read().strip() == "1"
    except (OSError, IndexError):
        return "no disk of its own"
    return f"{os.path.basename(folder)}, the kernel's scheduler {scheduler}{', rotational' if rotational else ''}"


def middle(rounds, key):
    return statistics.median(one[key] for one in rounds)


def columns_table(columns, result):
    """COLUMNS: a heading and what makes a cell of a row's name and rounds, each."""
    rows = [("", *(heading for heading, _ in columns))]
    rows += [(name, *(cell(name, rounds) for _, cell in columns)) for name, rounds in result.items() if rounds]
    table(rows)
    print(end="", flush=True)


def case_table(case, result):
    print(f"\n{case.title} ({case.name})")
    if any(one.get("beside") for rounds in result.values() for one in rounds):
        columns_table(BESIDE_COLUMNS, result)
        return
    columns = rate_columns(result)
    if case.medium in MERGING and not case.load.flush:
        columns.append(("merged", lambda _, rounds: queue_cell(rounds, "requests", "driver_requests")))
    if case.load.flush:
        columns.append(("FLUSHes a sync", lambda _, rounds: queue_cell(rounds, "flushes", "syncs")))
    columns_table(columns, result)


def queue_cell(rounds, number, by):
    """How many of the clients' became one of the driver's, where the server can tell."""
    figures = [one["queue"][number] / one["queue"][by] for one in rounds if one["queue"] and one["queue"][by]]
    return f"{statistics.median(figures):.1f}" if figures else "not known"


def calls_per_request(before, after):
    """System calls per request between two lines of platterd's counters; None when it gave none."""
    found = [re.search(r" (\d+) requests, (\d+) system calls,", line or "") for line in (before, after)]
    if not all(found):
        return None
    requests, calls = (int(found[1][group]) - int(found[0][group]) for group in (1, 2))
    return calls / requests if requests else None


def share(one):
    """Of all requests in the time that is measured, those of the clients that are."""
    return one["iops"] / (one["iops"] + one["beside"]["iops"])


# Of clients beside others: their latencies, and what each of the two parties gets.
BESIDE_COLUMNS = (
    ("p50 us", lambda _, rounds: f"{median(rounds, 'p50'):.0f}"),
    ("range", lambda _, rounds: spread(values(rounds, "p50"), 0)),
    ("p99 us", lambda _, rounds: f"{median(rounds, 'p99'):.0f}"),
    ("range", lambda _, rounds: spread(values(rounds, "p99"), 0)),
    ("p99.9", lambda _, rounds: f"{middle(rounds, 'p999_us'):.0f}"),
    ("kIOPS", lambda _, rounds: f"{middle(rounds, 'iops') / 1000:.2f}"),
    ("MB/s", lambda _, rounds: f"{middle(rounds, 'MBps'):.1f}"),
    ("share", lambda _, rounds: f"{statistics.median(share(one) for one in rounds) * 100:.0f} %"),
    ("others' kIOPS", lambda _, rounds: f"{middle([one['beside'] for one in rounds], 'iops') / 1000:.2f}"),
    ("MB/s", lambda _, rounds: f"{middle([one['beside'] for one in rounds], 'MBps'):.1f}"),
)


def rate_columns(result):
    columns = [
        ("kIOPS", lambda _, rounds: f"{median(rounds, 'iops') / 1000:.1f}"),
        ("range", lambda _, rounds: spread([rate / 1000 for rate in values(rounds, "iops")], 1)),
        ("MB/s", lambda _, rounds: f"{middle(rounds, 'MBps'):.0f}"),
        ("x floor", lambda name, _: times(result, "iops", name)),
        ("CPU us/IO", lambda _, rounds: f"{median(rounds, 'cpu'):.2f}"),
        ("range", lambda _, rounds: spread(values(rounds, "cpu"), 2)),
        ("x floor", lambda name, _: times(result, "cpu", name)),
        ("p50 us", lambda _, rounds: f"{median(rounds, 'p50'):.1f}"),
        ("range", lambda _, rounds: spread(values(rounds, "p50"), 1)),
        ("p99", lambda _, rounds: f"{middle(rounds, 'p99_us'):.0f}"),
        ("p99.9", lambda _, rounds: f"{middle(rounds, 'p999_us'):.0f}"),
        ("client CPU", lambda _, rounds: f"{middle(rounds, 'client_cpu_share') * 100:.0f} %"),
    ]
    return [column for column in columns if column[0] != "x floor" or "floor" in result]


def rates_table(title, result):
    print(f"\n{title}")
    columns_table(rate_columns(result), result)


def block_columns(against):
    """AGAINST: gives the cell that compares a metric of a row with another row's."""
    return (
        ("instructions", lambda _, rounds: f"{median(rounds, 'instructions'):.1f}"),
        ("against", lambda name, _: against("instructions", name)),
        ("ns", lambda _, rounds: f"{median(rounds, 'ns'):.1f}"),
        ("range", lambda _, rounds: spread(values(rounds, "ns"), 1)),
        ("against", lambda name, _: against("ns", name)),
    )


def driver_table(op, result):
    """What a request costs with the driver linked in and as a module."""

    def times_linked(metric, name):
        return f"x {statistics.median(ratios(result, metric, name, 'linked')):.3f}" if name != "linked" else "-"

    print(f"\nthe block layer alone, RAM disk: 4 KiB random {op}, 32 in a batch; of one request")
    columns_table(block_columns(times_linked), result)


def queue_table(scheduler, result):
    """What a request costs with SCHEDULER beside none."""

    def more(metric, name):
        own, of_what = name.split(", ", 1)
        if own == "none":
            return "-"
        return f"{statistics.median(differences(result, metric, name, 'none, ' + of_what)):+.1f}"

    print(f"\nthe queue alone, a driver that does nothing: 4 KiB random, scheduler {scheduler} against none; of one request")
    columns_table(block_columns(more), result)


def cipher_lines(result, speed):
    """How far each server is from encryption alone, which does SPEED bytes in a second of CPU time."""
    if not speed:
        return
    print(f"OpenSSL alone encrypts {speed / 1e9:.2f} GB in a second of CPU time (openssl speed, AES-128-GCM, 16 KiB); of that do " +
          ", ".join(f"{name} {statistics.median(moved_per_cpu_second(one) for one in rounds) / speed * 100:.0f} %"
                    for name, rounds in result.items() if rounds), flush=True)


def moved_per_cpu_second(one):
    """Bytes that the server moved in a second of CPU time."""
    return one["MBps"] * 1e6 / one["iops"] / (one["server_cpu_us_per_io"] / 1e6)


def session_table(result):
    """What a request costs from its bytes to those of its reply, by the kind of replies."""

    def times_simple(metric, name):
        return f"x {statistics.median(ratios(result, metric, name, 'simple')):.3f}" if name != "simple" else "-"

    print("\na session alone, RAM disk: 4 KiB random read, 32 in a batch; of one request")
    columns_table(block_columns(times_simple), result)


def map_table(extents, result):
    print(f"\nnbdinfo --map of a RAM disk of 1 TiB with {extents} extents")
    columns_table((
        ("seconds", lambda _, rounds: f"{median(rounds, 'seconds'):.2f}"),
        ("range", lambda _, rounds: spread(values(rounds, "seconds"), 2)),
        ("of these the server's CPU", lambda _, rounds: f"{middle(rounds, 'server_seconds'):.2f}"),
    ), result)


def idle_lines(name, idle):
    print(f"\n{idle['connections']} idle connections{' with TLS' if name == 'idle-tls' else ''}: platterd's resident memory grew by {idle['rss_kib_grown']} KiB, "
          f"{idle['rss_bytes_per_connection']:.0f} bytes each, from {idle['rss_kib_before']} KiB")
    print(f"a new client, from connect to its first 4 KiB: {idle['newcomer_us_beside']:.0f} us beside them, "
          f"{idle['newcomer_us_alone']:.0f} us alone", flush=True)


def wide(verdict):
    return verdict.word == "tie" and verdict.high - verdict.low > WIDE * abs(verdict.measured)


METRIC_TITLES = {"iops": "rate", "cpu": "CPU/IO", "p50": "p50", "p99": "p99", "instructions": "instructions", "ns": "ns",
                 "system calls": "system calls for a request", "bytes each": "resident bytes for a connection",
                 "newcomer": "us for a new client", "seconds": "seconds"}


def measured_cells(verdict, sign):
    digits, plus = (1, "+") if "+" in sign else (0 if verdict.measured >= 100 else 3, "")
    return (f"{verdict.measured:{plus}.{digits}f}", f"{verdict.low:{plus}.{digits}f}..{verdict.high:{plus}.{digits}f}",
            verdict.word + (" (wide)" if wide(verdict) else ""))


def verdict_table(results, file_system):
    """Prints the verdicts and returns them as plain data."""
    rows = [("requirement", "needed", "measured", "rounds", "verdict")]
    data = []
    for needed in REQUIREMENTS:
        elsewhere = needed.file_system not in (None, file_system)
        verdict = None if elsewhere else judge(needed, results)
        opponent = needed.opponent
        if verdict and verdict.opponent != opponent:
            opponent += f" ({verdict.opponent})"
        what = f"{needed.case}: {needed.server}'s {METRIC_TITLES[needed.metric]}" + (f" to {opponent}'s" if opponent else "")
        need = f"{needed.sign} {needed.factor:g}".replace("+ ", "+")
        if verdict:
            rows.append((what, need, *measured_cells(verdict, needed.sign)))
        elif needed.case in results:
            rows.append((what, need, "-", "-", f"only on {needed.file_system}" if elsewhere else "not measured"))
        data.append({**needed._asdict(), "verdict": "not measured"} if verdict is None else
                    {**needed._asdict(), "opponent": verdict.opponent, "measured": verdict.measured,
                     "rounds": [verdict.low, verdict.high], "verdict": verdict.word})
    print("\nRequirements, by the median of the rounds' ratios, or differences where a + stands, or the figure itself where no other's\n"
          "is named. A tie missed by less than the rounds differ and counts as met; a wide one, whose rounds differ by more than a\n"
          "quarter, means a noisy run.")
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
