# SPDX-License-Identifier: BSD-2-Clause
"""All the rules."""

import fnmatch
import types

import wire_client as nbd
from rules import contexts, handshake, security, structured, transmission
from rules.server import MIB, NOTLS

TABLES = {"Handshake": handshake, "Metadata contexts": contexts, "Transmission": transmission, "Structured replies": structured,
          "TLS": security}

# An export of no server, for the names of the rules.
NOMINAL = types.SimpleNamespace(
    name=b"", size=8192 * MIB, flags=nbd.HAS_FLAGS, structured_flags=nbd.HAS_FLAGS, has=lambda flag: True, block_sizes=None,
    any_block=True, writable=True, structured=True, has_allocation=True, knows_names=True, secret=b"", tls=NOTLS,
    server=types.SimpleNamespace(context=None))


def all_rules(export=NOMINAL, patterns=None):
    """[(title, [rule, ...]), ...] for an export: those whose names match one of PATTERNS."""
    every = [(title, [rule for rule in table.rules(export)
                      if patterns is None or any(fnmatch.fnmatch(rule.name, pattern) for pattern in patterns)])
             for title, table in TABLES.items()]
    return [(title, rules) for title, rules in every if rules]
