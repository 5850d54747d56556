# SPDX-License-Identifier: BSD-2-Clause
"""Exports for some clients only: by certificate, key, user, group and network."""

import os
import subprocess

import pytest

import tls_support
from daemon import Daemon
from wire_client import (ERR_POLICY, ERR_UNKNOWN, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, OPT_LIST_META_CONTEXT,
                         OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK, REP_SERVER, Wire, context_data, go_data, option)

MIB = 1 << 20
CERTIFICATES = tls_support.certificates()
TLS = ["--tls=on", "--tls-certificates", CERTIFICATES, "--tls-psk", os.path.join(CERTIFICATES, "keys.psk")]
CLIENT = tls_support.context(CERTIFICATES)


def may(daemon, name, tls=None, tcp=False):
    """Whether an export can be used; every option says the same of it."""
    with Wire(daemon, tcp=tcp) as wire:
        wire.tls = tls
        wire.flags()
        assert wire.option(OPT_STRUCTURED_REPLY)[0][0] == REP_ACK
        listed = [data[4:4 + int.from_bytes(data[:4], "big")] for kind, data in wire.option(OPT_LIST) if kind == REP_SERVER]
        answers = [wire.option(number, data)[-1] for number, data in (
            (OPT_LIST_META_CONTEXT, context_data(name)), (OPT_SET_META_CONTEXT, context_data(name)), (OPT_INFO, go_data(name)),
            (OPT_GO, go_data(name)))]
        allowed = answers[-1][0] == REP_ACK
        assert {kind for kind, _ in answers} == ({REP_ACK} if allowed else {ERR_POLICY})
        assert (name in listed) is allowed
        # Why isn't told.
        assert allowed or {text for _, text in answers} == {b"the server's rules don't allow that"}
    with Wire(daemon, tcp=tcp) as wire:
        wire.tls = tls
        wire.flags()
        wire.send(option(OPT_EXPORT_NAME, name))
        if allowed:
            wire.receive(10)
        else:
            assert wire.closed()
    return allowed


def test_users_and_groups(directory):
    with Daemon(directory, f"me=ram:1M,allow=uid:{os.getuid()}", "other=ram:1M,allow=uid:12345,allow=gid:12345",
                f"group=ram:1M,allow=uid:12345,allow=gid:{os.getgid()}", tcp=True, tls=False) as daemon:
        assert may(daemon, b"me") and may(daemon, b"group") and not may(daemon, b"other")
        assert not may(daemon, b"me", tcp=True)
        assert "unix: may not use other" in daemon.ctl("dmesg")


def test_networks(directory):
    with Daemon(directory, "here=ram:1M,allow=net:127.0.0.0/8", "there=ram:1M,allow=net:192.0.2.0/24,allow=net:2001:db8::/32",
                "anywhere=ram:1M,allow=net:0.0.0.0/0", tcp=True, tls=False) as daemon:
        assert may(daemon, b"here", tcp=True) and may(daemon, b"anywhere", tcp=True) and not may(daemon, b"there", tcp=True)
        assert not may(daemon, b"anywhere")


def test_certificates(directory):
    exports = ["client=ram:1M,allow=cert:client", "subject=ram:1M,allow=cert:CN\\=client", "other=ram:1M,allow=cert:other",
               "key=ram:1M,allow=psk:client", "secret=ram:1M,tls,allow=cert:client"]
    with Daemon(directory, *exports, options=TLS, tls=False) as daemon:
        assert may(daemon, b"client", CLIENT) and may(daemon, b"subject", CLIENT) and may(daemon, b"secret", CLIENT)
        assert not may(daemon, b"other", CLIENT) and not may(daemon, b"key", CLIENT)
        assert not may(daemon, b"client")
        nobody = tls_support.context(CERTIFICATES, identity=False)
        assert not may(daemon, b"client", nobody) and not may(daemon, b"secret", nobody)
        assert "may not use other: TLS, CN=client" in daemon.ctl("dmesg")
        assert [one["name"] for one in daemon.ctl_json("exports")["exports"] if one["tls"]] == ["secret"]


def test_keys(directory):
    def size(name, status):
        uri = f"nbds+unix://client@/{name}?socket={daemon.socket}&tls-psk-file={CERTIFICATES}/keys.psk"
        assert (subprocess.run(["nbdinfo", "--size", uri], capture_output=True, check=False).returncode == 0) is status

    with Daemon(directory, "mine=ram:1M,allow=psk:client", "other=ram:1M,allow=psk:other", "cert=ram:1M,allow=cert:client",
                options=TLS, tls=False) as daemon:
        size("mine", True)
        size("other", False)
        size("cert", False)


def test_a_disk_has_partitions_for_the_same_clients(directory):
    image = os.path.join(directory, "disk")
    with open(image, "wb") as file:
        file.truncate(8 * MIB)
    subprocess.run(["sfdisk", "-q", image], input="label: gpt\nstart=2048, size=4096\n", text=True, check=True)
    with Daemon(directory, f"vm={image},allow=uid:12345,partitions", f"all=disk:vm,allow=uid:{os.getuid()}", tls=False) as daemon:
        assert not may(daemon, b"vm") and not may(daemon, b"vmp1") and may(daemon, b"all")
        assert all(export["restricted"] and not export["tls"] for export in daemon.ctl_json("exports")["exports"])


def test_rules_in_a_file(directory):
    rules = os.path.join(directory, "rules")
    with open(rules, "w", encoding="ascii") as file:
        file.write(f"# who may\nuid:12345\nuid:{os.getuid()}\n")
    empty = os.path.join(directory, "empty")
    with open(empty, "w", encoding="ascii"):
        pass
    with Daemon(directory, f"some=ram:1M,allow=@{rules}", f"none=ram:1M,allow=@{empty}", "all=ram:1M", tls=False) as daemon:
        assert may(daemon, b"some") and may(daemon, b"all") and not may(daemon, b"none")
        assert may(daemon, b"all")
        with Wire(daemon) as wire:
            wire.flags()
            assert wire.option(OPT_GO, go_data(b"nobody"))[-1][0] == ERR_UNKNOWN


@pytest.mark.parametrize("rule, complaint", [
    ("@/nowhere", "No such file"), ("", "allow="), ("uid:no-such-user", "there is no such user"), ("net:10.0.0.1/8", "192.0.2.0/24"),
    ("everybody", "write cert:NAME")])
def test_what_cannot_be_understood_lets_nobody_in(directory, rule, complaint):
    with pytest.raises(AssertionError) as error:
        with Daemon(directory, f"x=ram:1M,allow={rule}", tls=False):
            pass
    assert complaint in str(error.value)
    with Daemon(directory, tls=False) as daemon:
        assert complaint in daemon.ctl("export", "add", f"x=ram:1M,allow={rule}", status=1)
        assert daemon.ctl_json("exports")["exports"] == []
