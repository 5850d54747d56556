# SPDX-License-Identifier: BSD-2-Clause
"""Clients that change, flush and read disks at random, several at a time for each, and keep its ledger."""

import select
import struct

from daemon import PATIENCE
from ledger import CLEAR, SECTOR, TRIM, WRITE, Ledger, Lost, Op, stamp
from wire_client import (CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, FLAG_FUA, FLAG_NO_HOLE, INFO_BLOCK_SIZE, REPLY_MAGIC,
                         Closed, Wire, request)

COMMANDS = {"read": CMD_READ, "flush": CMD_FLUSH, WRITE: CMD_WRITE, CLEAR: CMD_WRITE_ZEROES, TRIM: CMD_TRIM}
DEPTH = 16
CLIENTS = 3
# Changes meet in these sectors.
HOT = 64
# How long a request is; the longest doesn't fit into one buffer of the server's.
COUNTS = [1, 1, 1, 2, 4, 8, 8, 8, 16, 32, 32, 600]


class Disk:
    """A disk of the daemon's, which has an export of its name, and its ledger."""

    def __init__(self, name, number, sectors, lasting=False):
        self.name = name
        self.sectors = sectors
        self.ledger = Ledger(number, sectors, lasting)

    def read_all(self, daemon):
        with Wire(daemon).go(self.name.encode()) as wire:
            data = wire.read(0, self.sectors * SECTOR)
            wire.disconnect()
        return data


class Client(Wire):
    """A connection: what it has sent, by cookie, and what has come of the next replies."""

    def __init__(self, daemon, disk, number):
        super().__init__(daemon, timeout=PATIENCE)
        self.go(disk.name.encode(), [INFO_BLOCK_SIZE])
        self.disk = disk
        self.unit = max(1, self.block_sizes[0] // SECTOR)
        self.number = number
        self.flying = {}
        self.buffer = b""

    def take_replies(self):
        """What has come: [(op, error, data), ...]."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError as error:
            raise Closed from error
        if not data:
            raise Closed
        self.buffer += data
        replies, at = [], 0
        while len(self.buffer) - at >= 16:
            magic, error, cookie = struct.unpack_from(">IIQ", self.buffer, at)
            if magic != REPLY_MAGIC or cookie not in self.flying:
                raise Lost(f"a reply that nobody waits for: {self.buffer[at:at + 16].hex()}")
            op = self.flying[cookie]
            length = op.count * SECTOR if op.kind == "read" and not error else 0
            if len(self.buffer) - at - 16 < length:
                break
            at += 16
            replies.append((self.flying.pop(cookie), error, self.buffer[at:at + length]))
            at += length
        self.buffer = self.buffer[at:]
        return replies


class Load:
    """FAULTY: requests may fail with EIO.  NEIGHBOURS: how often those come together that lie side by side.

    `depth` is how many requests each client has on their way, or a few more."""

    def __init__(self, daemon, disks, random, faulty=False, neighbours=4):
        self.daemon = daemon
        self.random = random
        self.faulty = faulty
        self.neighbours = neighbours
        self.depth = DEPTH
        self.replies = 0
        self.connections = 0
        self.clients = [self.connect(disk) for disk in disks for _ in range(CLIENTS)]

    def connect(self, disk):
        self.connections += 1
        return Client(self.daemon, disk, self.connections)

    def choose_range(self, sectors, unit):
        count = max(self.random.choice(COUNTS) // unit, 1) * unit
        first = self.random.randrange(HOT if self.random.random() < 0.5 else sectors) // unit * unit
        return first, min(count, sectors - first)

    def choose_ops(self, client):
        """A request, or several neighbours, for a server that merges them."""
        kind = self.random.choices([WRITE, CLEAR, TRIM, "read", "flush", "neighbours"], [10, 2, 2, 4, 2, self.neighbours])[0]
        fua = kind not in ("read", "flush") and self.random.random() < 0.15
        if kind == "flush":
            return [Op("flush")]
        first, count = self.choose_range(client.disk.sectors, client.unit)
        if kind != "neighbours":
            return [Op(kind, first, count, client.number, fua)]
        kind = self.random.choice([WRITE, WRITE, WRITE, CLEAR, TRIM, "read"])
        count = min(count, 32)
        ops = [Op(kind, at, count, client.number, fua and kind != "read")
               for at in range(first, min(first + self.random.randrange(2, 9) * count, client.disk.sectors - count + 1), count)]
        return ops if self.random.random() < 0.5 else ops[::-1]

    def encode(self, client, op):
        """OP as bytes, about to be sent."""
        op.number = next(client.disk.ledger.numbers)
        flags = FLAG_FUA if op.fua else 0
        payload = b""
        if op.kind == WRITE:
            payload = b"".join(stamp(client.disk.ledger.export, sector, client.number, op.number) for sector in op.sectors)
        elif op.kind == CLEAR and self.random.random() < 0.5:
            flags |= FLAG_NO_HOLE
        client.disk.ledger.send(op)
        client.flying[op.number] = op
        return request(COMMANDS[op.kind], op.first * SECTOR, op.count * SECTOR, flags, op.number, payload)

    def send_until(self, client, depth):
        """New requests go out together."""
        data = b""
        client.disk.ledger.look()
        while len(client.flying) < depth:
            data += b"".join(self.encode(client, op) for op in self.choose_ops(client))
        try:
            client.send(data)
        except ConnectionError as error:
            raise Closed from error

    def take(self, client):
        replies = client.take_replies()
        client.disk.ledger.look()
        for op, error, data in replies:
            client.disk.ledger.answer(op, error, data)
            self.replies += 1
            if error and not (self.faulty and error == EIO):
                raise Lost(f"error {error}: {op}")

    def ready(self):
        clients = [client for client in self.clients if client.flying]
        sockets = select.select([client.socket for client in clients], [], [], PATIENCE)[0]
        if not sockets:
            raise Lost(f"no answer in {PATIENCE} s")
        return [client for client in clients if client.socket in sockets]

    def hang_up(self):
        """A client leaves with requests that the server has read or not, and another comes."""
        number = self.random.randrange(len(self.clients))
        client = self.clients[number]
        self.send_until(client, 2 * DEPTH)
        client.socket.close()
        for op in client.flying.values():
            client.disk.ledger.give_up(op)
        self.clients[number] = self.connect(client.disk)

    def run(self, replies):
        """Until there were so many more REPLIES; then there are requests on their way."""
        end = self.replies + replies
        while self.replies < end:
            for client in self.clients:
                if len(client.flying) <= self.depth / 2:
                    self.send_until(client, self.depth)
            for client in self.ready():
                self.take(client)
            if self.random.random() < 0.01:
                self.hang_up()

    def drain(self):
        """Takes all answers that are still to come, and leaves."""
        self.faulty = True
        while any(client.flying for client in self.clients):
            for client in self.ready():
                self.take(client)
        for client in self.clients:
            client.disconnect()

    def bury(self):
        """The server is dead: what it sent before counts."""
        for client in self.clients:
            try:
                while True:
                    self.take(client)
            except Closed:
                client.socket.close()
