# SPDX-License-Identifier: BSD-2-Clause
"""Whole sessions, for tests that end them or fall silent at each of their bytes."""

import struct

from wire_client import (CMD_DISC, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, FIXED_NEWSTYLE, NO_ZEROES,
                         OPT_ABORT, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, go_data, option, request)

FLAGS = struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES)
TARGET = 512 << 10

# The handshake, and what follows it; on the export "b", of 1 MiB and full of zeroes.
SESSIONS = {
    "go": (FLAGS + option(OPT_LIST) + option(OPT_INFO, go_data(b"b")) + option(99, b"data") + option(OPT_GO, go_data(b"b", [1, 3])),
           request(CMD_DISC)),
    "old": (FLAGS + option(OPT_EXPORT_NAME, b"b"), request(CMD_READ, TARGET, 600) + request(CMD_DISC)),
    "abort": (FLAGS + option(OPT_GO, go_data(b"missing")) + option(OPT_ABORT, b"bye"), b""),
    "requests": (FLAGS + option(OPT_GO, go_data(b"b")),
                 request(CMD_READ, TARGET, 4096) + request(CMD_WRITE, TARGET, 40, payload=bytes(40)) + request(CMD_FLUSH) +
                 request(CMD_TRIM, TARGET, 4096) + request(CMD_WRITE_ZEROES, TARGET, 4096) + request(99) +
                 request(CMD_WRITE, 2**63, 9, payload=b"discarded") + request(CMD_DISC)),
}
