# SPDX-License-Identifier: BSD-2-Clause
"""platterd keeps all the rules, however the bytes are delivered."""

import contextlib
import os
import shutil
import tempfile

import pytest

import tls_support
from daemon import PATIENCE, Daemon
from rules.channel import Channel, Violation
from rules.conversation import Conversation
from rules.play import ABSENT, KEPT, beginning, hold, play_run, runs
from rules.server import Export, Server
from rules.suite import all_rules

CERTIFICATES = tls_support.certificates()
# What platterd offers, and so breaks no rule by refusing it.
OFFERED = {"fast-zero-unoffered"}
NAMES = [rule.name for _, rules in all_rules() for rule in rules if rule.name not in OFFERED]
# Daemons by their options, and the places where rules are tried: each in the first one where it is offered.
DAEMONS = {"without": [], "required": ["--tls-certificates", CERTIFICATES],
           "optional": ["--tls-certificates", CERTIFICATES, "--tls=on", "secret=ram:1M,tls"]}
PLACES = {
    "clear": [("without", "nbd", "disk"), ("without", "nbd", "fixed"), ("without", "nbd", "strict"),
              ("required", "nbds", "disk"), ("optional", "nbd", "disk")],
    "tls": [("required", "nbds", "disk"), ("required", "nbds", "fixed"), ("required", "nbds", "strict"),
            ("optional", "nbd", "disk"), ("without", "nbd", "disk")],
}


def strict_export(directory):
    """A file whose blocks are not of one byte, where the file system has such."""
    path = os.path.join(directory, "file")
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return []
    return [f"strict=file:{path},direct=on"]


@pytest.fixture(scope="module")
def daemons():
    with contextlib.ExitStack() as stack:
        running = {}
        for name, options in DAEMONS.items():
            directory = tempfile.mkdtemp(prefix="platter-")
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            exports = ["disk=ram:8G", "fixed=ram:1M,readonly", *strict_export(directory)]
            running[name] = stack.enter_context(Daemon(directory, *exports, options=options, tls=False))
        yield running


@pytest.fixture(scope="module")
def exports(daemons):
    """By place and delivery; found out once."""
    found = {}

    def find(place, delivery):
        if (place, delivery) not in found:
            daemon, scheme, name = place
            uri = f"{scheme}+unix:///{name}?socket={daemons[daemon].socket}"
            found[place, delivery] = Export(Server(uri, CERTIFICATES, delivery, PATIENCE))
        return found[place, delivery]

    return find


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delivery", ["plain", "single", "joined"])
@pytest.mark.parametrize("way", PLACES)
def test_platterd_keeps_the_rule(exports, way, delivery, name):
    for place in PLACES[way]:
        export = exports(place, delivery)
        rule = next(rule for _, rules in all_rules(export) for rule in rules if rule.name == name)
        verdict, seen = hold(export.server, export, rule)
        if verdict != ABSENT:
            assert (verdict, seen) == (KEPT, "")
            return
    raise AssertionError("it isn't offered anywhere")


class Liar(Channel):
    """From when LIES is set nothing is as the server says: its bytes are others, and the end isn't seen."""

    lies = False

    def take(self):
        data = super().take()
        if not self.lies:
            return data
        if not data:
            raise TimeoutError
        return bytes(byte ^ 0xFF for byte in data)


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_is_kept_by_a_liar(exports, name):
    """Each session of each rule that expects anything notices."""
    for place in PLACES["clear"]:
        export = exports(place, "plain")
        rule = next(rule for _, rules in all_rules(export) for rule in rules if rule.name == name)
        if rule.offered:
            break
    for session in rule.sessions:
        if any(step.expected for step in session.steps):
            with contextlib.closing(Liar(export.server.connect().socket, PATIENCE)) as channel, pytest.raises(Violation):
                conversation = Conversation(channel, session.structured, export.server)
                for run in runs(beginning(session, export), joined=False):
                    play_run(conversation, run)
                channel.lies = True
                for run in runs(session.steps, joined=False):
                    play_run(conversation, run)
