# SPDX-License-Identifier: BSD-2-Clause
"""What sparse disks bring: holes that are told and not sent, and maps of many extents."""

import os
import subprocess
import time

import report
import servers
from generator import Failure

BLOCK = 1 << 20  # of the reads that are sparse or not...
DEPTH = 16  # ...and how many are in flight, fewer than copying programs have
PAGE = 4096
MAP_SIZE = 1 << 40
MAP_SERVERS = ("platterd", "nbdkit")
FILL_SECONDS = 300


def sparse_read(comparison):
    """A RAM disk of holes beside one of data, both read from beginning to end with structured replies, again and again."""
    options = comparison.options

    def command(program, place):
        return servers.platterd(program, place, "--threads", "1", disks=2)

    server = comparison.start(comparison.platterd_kind(), "ram-sparse", comparison.server_cpus, command, options.sparse_size)
    comparison.generator.run(server, "--export", "disk0", "--size", f"{options.sparse_size}M", "--prepare", "--count", "1")
    result = comparison.results["sparse"] = {"data": [], "holes": []}
    for _ in range(options.rounds):
        for (name, rounds), export in zip(result.items(), ("disk0", "disk1")):
            one = comparison.generator.run(
                server, "--export", export, "--size", f"{options.sparse_size}M", "--structured", "--block", str(BLOCK), "--depth", str(DEPTH),
                "--sequential", "--seconds", str(options.seconds), "--warmup", str(options.warmup))
            if one["hole_bytes"] != (one["requests"] * BLOCK if name == "holes" else 0):
                raise Failure(f"sparse: {name}: {one['hole_bytes']} bytes of holes in {one['requests']} replies")
            rounds.append(one)
    report.rates_table(f"platterd, RAM disk of {options.sparse_size} MiB: 1 MiB sequential read, QD {DEPTH}, structured replies", result)
    comparison.stop(server)


def start_for_map(comparison, kind):
    def command(program, place):
        if kind.name == "platterd":
            return servers.platterd(program, place, "--threads", "1", overcommit=True)
        # By default it is sparse, unlike with what is faster otherwise.
        return [program, "-f", "-t", "4", "-U", place.socket, "memory", str(place.size)]

    return comparison.start(kind, "ram-map", comparison.server_cpus, command, MAP_SIZE >> 20)


def fill(comparison, server, extents):
    """Data and holes in turn."""
    stride = MAP_SIZE * 2 // extents
    comparison.generator.run(server, "--op", "write", "--sequential", "--block", str(PAGE), "--stride", str(stride),
                             "--size", str(MAP_SIZE), "--depth", "32", "--count", str(extents // 2), limit=FILL_SECONDS)


def map_once(comparison, server, path):
    """How long nbdinfo takes for it, and what the server's part is."""
    uri = f"nbd+unix:///?socket={server.place.socket}"
    with open(path, "wb") as out:
        cpu, start = server.cpu_seconds(), time.monotonic()
        done = subprocess.run(["nbdinfo", "--map", uri], stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=FILL_SECONDS,
                              stdin=subprocess.DEVNULL, preexec_fn=servers.child_setup(comparison.load_cpus))
        took, cpu = time.monotonic() - start, server.cpu_seconds() - cpu
    if done.returncode != 0:
        raise Failure(f"map: {server.name}: {done.stderr.strip()}")
    with open(path, "rb") as out:
        return {"seconds": took, "server_seconds": cpu, "extents": sum(1 for _ in out)}


def map_of_extents(comparison):
    """The map of a RAM disk of 1 TiB, of which platterd and nbdkit keep the data only."""
    options = comparison.options
    running = [start_for_map(comparison, kind) for kind in comparison.kinds if kind.name in MAP_SERVERS]
    path = os.path.join(comparison.memory, "map")
    for server in running:
        fill(comparison, server, options.extents)
    result = comparison.alone["map"] = {server.name: [] for server in running}
    for number in range(options.rounds):
        first = number % len(running)
        for server in running[first:] + running[:first]:
            one = map_once(comparison, server, path)
            if one["extents"] != options.extents:
                raise Failure(f"map: {server.name} tells of {one['extents']} extents, not {options.extents}")
            result[server.name].append(one)
    report.map_table(options.extents, result)
    for server in running:
        comparison.stop(server)
