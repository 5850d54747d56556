# SPDX-License-Identifier: BSD-2-Clause
"""Holds the installed servers against the rules and prints who keeps what, as Markdown; README.md says how."""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rules.channel import Closed, Violation  # noqa: E402 pylint: disable=wrong-import-position
from rules.peers import Place, peers  # noqa: E402 pylint: disable=wrong-import-position
from rules.play import ABSENT, BROKEN, KEPT, hold  # noqa: E402 pylint: disable=wrong-import-position
from rules.server import Export, Server  # noqa: E402 pylint: disable=wrong-import-position
from rules.suite import all_rules  # noqa: E402 pylint: disable=wrong-import-position
from rules.vocabulary import MUST, SHOULD  # noqa: E402 pylint: disable=wrong-import-position

CELLS = {(MUST, BROKEN): "**no**", (SHOULD, BROKEN): "no"}
HEAD = """\
# Who keeps which rules of the NBD specification

Made by `make interop-table`, and published as it came out: {count} rules of
[doc/proto.md](https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md), each a few messages and what has to come
back, held against these servers as Debian 12 has them, each serving a file with all that it can be asked to offer.
[tests/rules](tests/rules/README.md) has the bytes, says how to hold any other server against them, and what such a table
can't say.

- **yes**: every message got what the rule demands. **-**: the server doesn't offer what the rule is about.
- **no** in bold breaks a rule that binds (MUST), a plain one a recommendation (SHOULD). What came instead is told below the tables.
"""


class Trial:
    """One server, started as one KIND, and again whenever it broke a rule."""

    def __init__(self, peer, kind, delivery, patience):
        self.peer, self.kind, self.delivery, self.patience = peer, kind, delivery, patience
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        directory = tempfile.mkdtemp(prefix="platter-")
        self.stack.callback(shutil.rmtree, directory, ignore_errors=True)
        place = Place(directory, self.kind)
        self.stack.enter_context(self.peer.running(place))
        self.server = Server(place.uri, place.certificates, self.delivery, self.patience)
        self.export = Export(self.server)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def hold(self, rule):
        verdict, seen = hold(self.server, self.export, rule)
        if verdict == BROKEN:
            seen += "" if self.serves() else "; and the whole server ended"
            # What it may still be doing for this rule is not held against it in the next one.
            self.stack.close()
            self.__enter__()
        return verdict, seen

    def serves(self):
        with contextlib.suppress(OSError, Violation, Closed), contextlib.closing(self.server.connect()) as channel:
            return bool(channel.receive(18))
        return False


def verdicts(peer, delivery, options):
    """{rule's name: (verdict, what was seen)}; of all that the server is started as the first that offers it counts."""
    found = {}
    for kind in peer.kinds:
        with Trial(peer, kind, delivery, options.patience) as trial:
            for _, rules in all_rules(trial.export, options.rule):
                for rule in rules:
                    if found.get(rule.name, (ABSENT, ""))[0] == ABSENT:
                        found[rule.name] = trial.hold(rule)
    return found


def row(*cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def summary(found, every):
    """How many of each level were kept, broken, not offered, by server."""
    levels = {rule.name: rule.level for _, rules in every for rule in rules}
    yield row("", *(f"{level}: {what}" for level in (MUST, SHOULD) for what in ("kept", "broken", "not offered")))
    yield "|---" * 7 + "|"
    for peer, kept in found.items():
        counts = [sum(levels[name] == level and verdict == word for name, (verdict, _) in kept.items())
                  for level in (MUST, SHOULD) for word in (KEPT, BROKEN, ABSENT)]
        yield row(f"{peer.name} {peer.version()}", *counts)


def tables(found, every):
    for title, rules in every:
        yield f"\n## {title}\n"
        yield row("rule", "", "what it says", "section", *(peer.name for peer in found))
        yield "|---" * (4 + len(found)) + "|"
        for rule in rules:
            cells = [CELLS.get((rule.level, kept[rule.name][0]), kept[rule.name][0]) for kept in found.values()]
            yield row(rule.name, rule.level, rule.says, rule.section, *cells)


def seen(found, single):
    """What came instead, and what was different when bytes came one by one."""
    yield "\n## What came instead\n"
    for peer, kept in found.items():
        for name, (verdict, what) in kept.items():
            if verdict == BROKEN:
                yield f"- {peer.name}, {name}: {what}"
    yield "\n## The same, byte by byte\n"
    different = [f"- {peer.name}, {name}: {verdict}" + (f": {what}" if what else "") for peer, kept in single.items()
                 for name, (verdict, what) in kept.items() if verdict != found[peer][name][0]]
    if different:
        yield "With single bytes delivered these verdicts were other ones:\n\n" + "\n".join(different)
    else:
        yield "With single bytes delivered all verdicts were the same."


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platterd", default="./platterd", metavar="PROGRAM")
    parser.add_argument("--rule", action="append", metavar="PATTERN", help="only these")
    parser.add_argument("--patience", type=float, default=5, metavar="SECONDS", help="for which an answer is waited for (5)")
    options = parser.parse_args()
    servers = peers(options.platterd)
    missing = [peer.name for peer in servers if not peer.program]
    if missing:
        print(f"Not installed: {', '.join(missing)}. Write scripts/packages bench", file=sys.stderr)
        return 1
    found = {peer: verdicts(peer, "plain", options) for peer in servers}
    single = {peer: verdicts(peer, "single", options) for peer in servers}
    rules = all_rules(patterns=options.rule)
    print(HEAD.format(count=sum(len(of_title) for _, of_title in rules)))
    print("\n".join([*summary(found, rules), *tables(found, rules), *seen(found, single)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
