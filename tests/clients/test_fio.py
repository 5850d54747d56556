# SPDX-License-Identifier: BSD-2-Clause
"""fio: mixed random load whose every block is verified."""

import json
import os
import re
import subprocess

import pytest

import tls_support
from client_support import MIB, TRANSPORTS, backed, run, uri

SIZE = 64 * MIB


def fio(directory, export, *options, prefix=()):
    """Runs a job; returns what fio says of each."""
    output = os.path.join(directory, "fio.json")
    run(*prefix, "fio", "--ioengine=nbd", "--uri=" + export, "--name=job", "--randseed=1", "--randrepeat=1",
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


@pytest.fixture
def own_certificates(directory):
    """A prefix: for what it runs the certificates are where libnbd looks for them, which for root is no place for a test."""
    os.mkdir(f"{directory}/.pki")
    os.symlink(tls_support.certificates(), f"{directory}/.pki/libnbd")
    prefix = ["env", f"HOME={directory}"]
    if os.geteuid() == 0:
        prefix = ["unshare", "--map-user=1000", "--map-group=1000", *prefix]
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        pytest.skip(f"no user namespaces here: {tried.stderr.strip()}")
    return prefix


@pytest.mark.parametrize("transport", ["unix, certificate", "tcp, certificate"])
def test_inside_tls(directory, transport, own_certificates):
    """fio doesn't allow its library to read what a URI names."""
    with backed(directory, "ram", SIZE, transport) as daemon:
        export = re.sub("[?&]tls-certificates=.*", "", uri(daemon, transport))
        jobs = fio(directory, export, "--rw=randrw", "--verify=crc32c", "--iodepth=32", f"--size={SIZE}", "--io_size=16M", "--bs=4k",
                   prefix=own_certificates)
    assert jobs[0]["write"]["total_ios"] > 100 and jobs[0]["read"]["total_ios"] > 100
