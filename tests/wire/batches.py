# SPDX-License-Identifier: BSD-2-Clause
"""Batches of requests, for tests of what they cost."""

from wire_client import CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, request

KIB, MIB = 1 << 10, 1 << 20

DEPTH = 32
MIXES = {
    "reads": [(CMD_READ, 4 * KIB)], "writes": [(CMD_WRITE, 4 * KIB)], "both": [(CMD_READ, 4 * KIB), (CMD_WRITE, 4 * KIB)],
    "all": [(CMD_READ, 512), (CMD_WRITE, 512), (CMD_FLUSH, 0), (CMD_TRIM, 4 * KIB), (CMD_WRITE_ZEROES, 4 * KIB)],
    "errors": [(99, 512)],
}


def batch_of(mix, depth):
    """DEPTH requests for one segment, and the length of their replies."""
    sent, received = b"", 0
    for n in range(depth):
        command, length = mix[n % len(mix)]
        payload = bytes(length) if command == CMD_WRITE else b""
        sent += request(command, n * 64 * KIB if length < MIB else 0, length, cookie=n, payload=payload)
        received += 16 + (length if command == CMD_READ else 0)
    return sent, received
