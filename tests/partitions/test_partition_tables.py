# SPDX-License-Identifier: BSD-2-Clause
"""Partition tables that fdisk and sfdisk made are read as these read them."""

import json
import os
import random
import re
import subprocess

import pytest

from seeds import seeded

PARTITION_LIST = os.environ.get("PARTITION_LIST", "./tests/partitions/partition_list")
EXTENDED = {0x05, 0x0F, 0x85}
MIB = 1 << 20


def run(*command, stdin=None):
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout


def ours(image, sector_size):
    """What Platter finds: tuples of number, first byte, bytes, type, UUID and name."""
    return [(int(number), int(start), int(length), *rest) for number, start, length, *rest in
            (line.split("\t") for line in run(PARTITION_LIST, image, str(sector_size)).splitlines())]


def dos_type(text):
    return f"0x{int(text, 16):02x}"


def by_sfdisk(image):
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    assert table["sectorsize"] == 512
    result = []
    for partition in table.get("partitions", []):
        number = int(re.search(r"[0-9]+$", partition["node"])[0])
        if table["label"] == "gpt":
            rest = partition["type"].lower(), partition["uuid"].lower(), partition.get("name", "")
        elif int(partition["type"], 16) in EXTENDED:
            continue
        else:
            rest = dos_type(partition["type"]), f"{int(table['id'], 16):08x}-{number:02x}", ""
        result.append((number, partition["start"] * 512, partition["size"] * 512, *rest))
    return result


def by_fdisk(image, gpt):
    """For sectors of 4096 bytes, which this sfdisk doesn't know for files."""
    columns = "Device,Start,Sectors,Type-UUID,UUID,Name" if gpt else "Device,Start,Sectors,Id"
    listing = run("fdisk", "--sector-size", "4096", "--list", "--color=never", "--output", columns, image)
    table_id = re.search(r"^Disk identifier: (?:0x)?(\S+)$", listing, re.M)[1]
    result = []
    for line in listing.splitlines():
        if not line.startswith(image):
            continue
        device, start, sectors, kind, *rest = line.split(maxsplit=5)
        number = int(device[len(image):])
        if gpt:
            rest = kind.lower(), rest[0].lower(), rest[1].rstrip() if rest[1:] else ""
        elif int(kind, 16) in EXTENDED:
            continue
        else:
            rest = dos_type(kind), f"{table_id}-{number:02x}", ""
        result.append((number, int(start) * 4096, int(sectors) * 4096, *rest))
    return result


def compare(directory, script, expected, sector_size=512, size=256 * MIB):
    """Makes an image with SCRIPT, for sfdisk; it has EXPECTED partitions that aren't extended ones."""
    image = os.path.join(directory, "image")
    with open(image, "wb") as file:
        file.truncate(size)
    if sector_size == 512:
        run("sfdisk", "--quiet", image, stdin=script)
        theirs = by_sfdisk(image)
    else:
        with open(os.path.join(directory, "script"), "w", encoding="utf-8") as file:
            file.write(script)
        run("fdisk", "--sector-size", str(sector_size), "--wipe", "never", image, stdin=f"I\n{file.name}\nw\n")
        theirs = by_fdisk(image, "label: gpt" in script)
    found = ours(image, sector_size)
    # Theirs are in the order of the table, as ours.
    assert found == theirs
    assert len(found) == expected
    return found


both = pytest.mark.parametrize("sector_size", [512, 4096])


@both
def test_mbr_with_primary_partitions(directory, sector_size):
    compare(directory, "label: dos\nsize=1M, bootable\nsize=20M, type=swap\nsize=3M, type=ef\ntype=c\n", 4, sector_size)


@both
def test_mbr_with_a_gap_in_its_numbers(directory, sector_size):
    found = compare(directory, "label: dos\n1: size=1M\n3: size=20M, type=83\n", 2, sector_size)
    assert [partition[0] for partition in found] == [1, 3]


@both
@pytest.mark.parametrize("count", [0, 1, 2, 56])
def test_mbr_with_logical_partitions(directory, count, sector_size):
    script = "label: dos\nsize=1M\ntype=extended\n" + "size=1M\n" * count
    found = compare(directory, script, 1 + count, sector_size)
    assert [partition[0] for partition in found] == [1, *range(5, 5 + count)]


@both
@pytest.mark.parametrize("count", [1, 2, 127, 128])
def test_gpt(directory, count, sector_size):
    script = "label: gpt\n" + "".join(f'size=1M, name="Nº {i}"\n' for i in range(count))
    found = compare(directory, script, count, sector_size)
    assert found[-1][5] == f"Nº {count - 1}"


def test_gpt_with_gaps_and_types(directory):
    compare(directory, "label: gpt\n2: size=1M, type=swap\n17: size=5M, type=uefi\n128: type=lvm, attrs=GUID:63\n", 3)


def test_gpt_with_a_short_or_a_long_table(directory):
    compare(directory, "label: gpt\ntable-length: 4\n" + "size=1M\n" * 4, 4)
    compare(directory, "label: gpt\ntable-length: 1024\nfirst-lba: 2048\n" + "size=64K\n" * 700, 700, size=1024 * MIB)


@both
def test_empty_tables(directory, sector_size):
    compare(directory, "label: dos\n", 0, sector_size)
    compare(directory, "label: gpt\n", 0, sector_size)


def test_tables_on_large_disks(directory):
    compare(directory, "label: dos\nsize=1T\ntype=extended\nsize=300G\nsize=+\n", 3, size=2 << 40)
    compare(directory, "label: dos\nsize=10T\ntype=extended\nsize=3T\nsize=+\n", 3, 4096, size=15 << 40)
    compare(directory, "label: gpt\nsize=1T\nsize=+\n", 2, size=15 << 40)


@seeded(6)
def test_random_tables(directory, seed):
    chance = random.Random(seed)
    sector_size = chance.choice([512, 4096])
    lines, expected = ["label: " + chance.choice(["dos", "gpt"])], 0
    if lines[0] == "label: gpt":
        for number in sorted(chance.sample(range(1, 129), chance.randrange(1, 60))):
            lines.append(f"{number}: size={chance.randrange(1, 40) * 128}K")
            expected += 1
    else:
        for number in sorted(chance.sample([1, 2, 3], chance.randrange(4))):
            lines.append(f"{number}: size={chance.randrange(1, 40) * 256}K, type={chance.randrange(0x86, 0xa5):x}")
            expected += 1
        lines.append("4: type=" + chance.choice(["5", "f", "85"]))
        for number in range(5, 5 + chance.randrange(40)):
            lines.append(f"{number}: size={chance.randrange(1, 16) * 256}K")
            expected += 1
    compare(directory, "\n".join(lines) + "\n", expected, sector_size, size=1024 * MIB)


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_partitions_of_a_disk_that_shrank(directory, label):
    compare(directory, f"label: {label}\nsize=10M\nsize=10M\n", 2)
    image = os.path.join(directory, "image")
    os.truncate(image, 15 * MIB)
    listing = subprocess.run([PARTITION_LIST, image, "512"], capture_output=True, text=True, check=False, timeout=60)
    if label == "dos":
        assert listing.returncode == 0
        assert [line.split()[0] for line in listing.stdout.splitlines()] == ["1"]
        assert "partition 2 is left out: it reaches beyond the disk's end" in listing.stderr
    else:
        assert listing.returncode == 1
        assert "neither that at sector 1 nor its backup at sector 30719 is valid" in listing.stderr


def test_a_file_system_is_no_table(directory):
    image = os.path.join(directory, "image")
    with open(image, "wb") as file:
        file.truncate(16 * MIB)
    run("/sbin/mkfs.ext4", "-q", image)
    assert not ours(image, 512)
