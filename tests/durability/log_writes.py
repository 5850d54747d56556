# SPDX-License-Identifier: BSD-2-Clause
"""
The log of dm-log-writes: every write that a disk got, in order, and every flush.  With it, what the disk holds when its
power is cut at the log's end: all up to the last flush, and of what came later whatever had left its cache by then.

A superblock in the first sector; then entries, each a sector with a header and, but for discards, the data.
"""

import struct

SECTOR = 512
MAGIC = 0x6A736677736872
HEADER = struct.Struct("<4Q")  # first sector, sectors, flags, bytes of a mark's name
SUPER = struct.Struct("<3QL")
FLUSH, FUA, DISCARD = 1, 2, 4


class Log:
    """What is in the file at PATH, which grows: by one entry after the other."""

    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)  # pylint: disable=consider-using-with
        self.at = SECTOR

    def read(self):
        """The new entries: [(flags, first sector, data), ...].  Its last one may not be whole yet: it is for the next time."""
        self.file.seek(self.at)
        new, at, entries = self.file.read(), 0, []
        while at + SECTOR <= len(new):
            first, count, flags, _ = HEADER.unpack_from(new, at)
            end = at + SECTOR + (0 if flags & DISCARD else count * SECTOR)
            if not (count or flags) or end > len(new):
                break
            entries.append((flags, first, bytes(count * SECTOR) if flags & DISCARD else new[at + SECTOR:end]))
            at = end
        self.at += at
        self.check_superblock()
        return entries

    def check_superblock(self):
        """qemu-storage-daemon writes it after the first flush, and anew after others."""
        self.file.seek(0)
        superblock = self.file.read(SUPER.size)
        if any(superblock):
            magic, version, _, sector_size = SUPER.unpack(superblock)
            assert (magic, version, sector_size) == (MAGIC, 1, SECTOR)

    def close(self):
        self.file.close()


class Cache:
    """The disk of a log: `durable` is its medium, `pending` what is only in its cache, in order."""

    def __init__(self, content):
        self.durable = bytearray(content)
        self.before = bytes(content)  # the medium before the last flush that found something to do
        self.flushed = []             # and what that one found
        self.pending = []             # (offset, data)

    def add(self, entries):
        """It got them; none of the disks here has FUA."""
        for flags, first, data in entries:
            assert not flags & FUA
            if flags & FLUSH:
                self.flush()
            if data:
                self.pending.append((first * SECTOR, data))

    def flush(self):
        if self.pending:
            self.before, self.flushed = bytes(self.durable), self.pending
            apply(self.durable, self.pending)
            self.pending = []

    def cut(self, choose):
        """What it holds when its power is cut: CHOOSE(changes) are those that left the cache by then."""
        return replay(self.durable, choose(self.pending))

    def cut_of_a_liar(self, choose):
        """The same of a disk that did nothing when it was last told to flush."""
        return replay(self.before, choose(self.flushed + self.pending))


def apply(image, changes):
    for offset, data in changes:
        image[offset:offset + len(data)] = data


def replay(content, changes):
    image = bytearray(content)
    apply(image, changes)
    return bytes(image)


def nothing(_changes):
    return []


def everything(changes):
    return changes


def some(random):
    """Each change is kept or not."""
    return lambda changes: [change for change in changes if random.random() < 0.5]


def torn(random):
    """Each sector of each change is kept or not."""
    return lambda changes: [(offset + at, data[at:at + SECTOR]) for offset, data in changes for at in range(0, len(data), SECTOR)
                            if random.random() < 0.5]
