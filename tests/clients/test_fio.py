# SPDX-License-Identifier: BSD-2-Clause
"""fio: mixed random load whose every block is verified."""

import json
import os

import pytest
from client_support import MIB, TRANSPORTS, backed, run, uri

SIZE = 64 * MIB


def fio(directory, export, *options):
    """Runs a job; returns what fio says of each."""
    output = os.path.join(directory, "fio.json")
    run("fio", "--ioengine=nbd", "--uri=" + export, "--name=job", "--randseed=1", "--randrepeat=1",
        "--verify_fatal=1", "--output-format=json", "--output=" + output, *options, directory=directory)
    with open(output, encoding="utf-8") as file:
        text = file.read()
    jobs = json.loads(text[text.index("{"):])["jobs"]
    assert all(job["error"] == 0 for job in jobs)
    return jobs


@pytest.fixture(params=[(kind, transport) for kind in ("ram", "file") for transport in TRANSPORTS], ids="-".join)
def export(directory, request):
    kind, transport = request.param
    with backed(directory, kind, SIZE, transport) as daemon:
        yield uri(daemon, transport)


@pytest.mark.parametrize("shape", [["--bs=4k"], ["--bsrange=512-128k", "--bs_unaligned"]], ids=["4k", "mixed"])
def test_random_writes_and_reads_are_verified(directory, export, shape):
    jobs = fio(directory, export, "--rw=randrw", "--verify=crc32c", "--iodepth=32", f"--size={SIZE}", "--io_size=32M", *shape)
    assert jobs[0]["write"]["total_ios"] > 100
    assert jobs[0]["read"]["total_ios"] > 100


def test_several_jobs_side_by_side_are_verified(directory, export):
    jobs = fio(directory, export, "--rw=randwrite", "--verify=crc32c", "--iodepth=16", "--bs=16k", "--numjobs=4", "--size=8M",
               "--offset_increment=8M")
    assert len(jobs) == 4
    assert all(job["write"]["io_bytes"] == 8 * MIB for job in jobs)
    # Read back by the verification.
    assert all(job["read"]["io_bytes"] == 8 * MIB for job in jobs)


def test_syncs_between_writes(directory, export):
    jobs = fio(directory, export, "--rw=randwrite", "--verify=crc32c", "--iodepth=8", "--bs=64k", "--size=8M", "--fsync=4")
    assert jobs[0]["write"]["io_bytes"] == 8 * MIB


def test_sequential_trims_between_writes(directory, export):
    jobs = fio(directory, export, "--rw=trimwrite", "--iodepth=4", "--bs=64k", "--size=4M")
    assert jobs[0]["trim"]["total_ios"] == jobs[0]["write"]["total_ios"] == 64
