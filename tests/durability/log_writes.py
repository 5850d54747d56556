# SPDX-License-Identifier: BSD-2-Clause
"""
The log of dm-log-writes: every write that a disk got, in order, and every flush.  With it, what the disk may hold when its
power is cut at any place of the log: all up to the last flush, and of what came later whatever had left its cache by then.

A superblock in the first sector; then entries, each a sector with a header and, but for discards, the data.
"""

import collections
import os
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

    def size(self):
        """How far it is: no entry ends beyond that yet."""
        return os.fstat(self.file.fileno()).st_size

    def read(self):
        """The new entries, each as (its end, flags, first sector, data).  The last one may not be whole yet: it is for the next time."""
        self.check_superblock()
        size = self.size()
        while self.at + SECTOR <= size:
            first, count, flags, _ = HEADER.unpack_from(os.pread(self.file.fileno(), SECTOR, self.at))
            length = count * SECTOR
            end = self.at + SECTOR + (0 if flags & DISCARD else length)
            if not (count or flags) or end > size:
                break
            data = bytes(length) if flags & DISCARD else os.pread(self.file.fileno(), length, self.at + SECTOR)
            self.at = end
            yield end, flags, first, data

    def check_superblock(self):
        """qemu-storage-daemon writes it after the first flush, and anew after others."""
        superblock = os.pread(self.file.fileno(), SUPER.size, 0)
        if any(superblock):
            magic, version, _, sector_size = SUPER.unpack(superblock)
            assert (magic, version, sector_size) == (MAGIC, 1, SECTOR)

    def close(self):
        self.file.close()


class Cache:
    """The disk of a log.  Its `sectors` are all contents that each of them may have if the power is cut now, in the order in which
    they were written: the one of the last flush, and those that came later.  Any sector of any write may have left the cache.

    LAG: the disk is a liar, so many flushes behind of those that found something to do."""

    def __init__(self, content, lag=0):
        self.sectors = [[content[at:at + SECTOR]] for at in range(0, len(content), SECTOR)]
        self.lag = lag
        # How often each sector was written, for each flush that isn't done, and then since.
        self.written = collections.deque([collections.Counter()])

    def add(self, flags, first, data):
        """It got this entry; the sectors that were written.  None of the disks here has FUA."""
        assert not flags & FUA
        if flags & FLUSH and self.written[-1]:
            self.flush()
        sectors = range(first, first + len(data) // SECTOR)
        for number, sector in enumerate(sectors):
            self.sectors[sector].append(data[number * SECTOR:(number + 1) * SECTOR])
        self.written[-1].update(sectors)
        return sectors

    def flush(self):
        self.written.append(collections.Counter())
        if len(self.written) > 1 + self.lag:
            for sector in self.written.popleft():
                later = sum(written[sector] for written in self.written)
                del self.sectors[sector][:-1 - later]

    def durable(self):
        """What is left if nothing left the cache."""
        return b"".join(contents[0] for contents in self.sectors)
