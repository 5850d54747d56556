# SPDX-License-Identifier: BSD-2-Clause
"""Holds an NBD server against the rules of the specification.

Exit status: 0; 1 when a rule that binds (MUST) is broken; 2 when it could not be tried.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rules.channel import Closed, Violation  # noqa: E402 pylint: disable=wrong-import-position
from rules.play import ABSENT, BROKEN, KEPT, UNTRIED, hold  # noqa: E402 pylint: disable=wrong-import-position
from rules.server import Export, Server  # noqa: E402 pylint: disable=wrong-import-position
from rules.suite import all_rules  # noqa: E402 pylint: disable=wrong-import-position
from rules.vocabulary import MUST  # noqa: E402 pylint: disable=wrong-import-position

WORDS = {KEPT: "yes", BROKEN: "NO", ABSENT: "-", UNTRIED: "?"}


def parse_options():
    parser = argparse.ArgumentParser(prog="python3 tests/rules", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uri", nargs="?", help="nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH; nbds: all inside TLS")
    parser.add_argument("--overwrite", action="store_true", help="also the rules that write: WHAT THE EXPORT HOLDS IS LOST")
    parser.add_argument("--tls-certificates", metavar="DIR", help="with ca-cert.pem and perhaps client-cert.pem and client-key.pem")
    parser.add_argument("--delivery", choices=["plain", "single", "joined"], default="plain",
                        help="bytes go as they are, one by one, or with all that needs no answer first joined; the latter sends "
                        "options before the replies to earlier ones have come, which the specification forbids clients")
    parser.add_argument("--rule", action="append", metavar="PATTERN", help="only these")
    parser.add_argument("--patience", type=float, default=10, metavar="SECONDS", help="for which it waits for an answer (10)")
    parser.add_argument("--list", action="store_true", help="print the rules and end")
    options = parser.parse_args()
    if not options.uri and not options.list:
        parser.error("no address: write a URI, or --list")
    return options


def main():
    options = parse_options()
    if options.list:
        for title, rules in all_rules(patterns=options.rule):
            print(f"{title}\n" + "".join(f"  {rule.name} ({rule.level}, {rule.section})\n      {rule.says}\n" for rule in rules))
        return 0
    try:
        server = Server(options.uri, options.tls_certificates, options.delivery, options.patience)
        export = Export(server)
    except (ValueError, OSError, Violation, Closed) as error:
        print(f"{options.uri}: {error or 'it closed the connection'}", file=sys.stderr)
        return 2
    verdicts = []
    for title, rules in all_rules(export, options.rule):
        print(title)
        for rule in rules:
            verdict, seen = hold(server, export, rule, options.overwrite)
            verdicts.append((rule.level, verdict))
            print(f"  {WORDS[verdict]:3} {rule.level:6} {rule.name}" + (f": {seen}\n      {rule.says}" if seen else ""), flush=True)
    must, should = verdicts.count((MUST, BROKEN)), verdicts.count(("SHOULD", BROKEN))
    counts = {word: sum(verdict == word for _, verdict in verdicts) for word in WORDS}
    print(f"{counts[KEPT]} kept, {must} MUST and {should} SHOULD broken, {counts[ABSENT]} not offered, "
          f"{counts[UNTRIED]} not tried, for they write")
    return 1 if must else 0


if __name__ == "__main__":
    sys.exit(main())
