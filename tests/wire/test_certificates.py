# SPDX-License-Identifier: BSD-2-Clause
"""Certificates of many kinds: who issued them, what they are for, which names they have, and what was revoked."""

import shutil

import pytest

from certificate_support import CLIENT, SERVER, Authority
from daemon import Daemon, wait_for
from tls_support import refused, secured
from wire_client import ERR_POLICY, OPT_INFO, REP_ACK, go_data

def serve(directory, pki, *exports):
    return Daemon(directory, *(exports or ["open=ram:1M"]), tls=False,
                  options=["--tls-certificates", pki.directory, "--tls=required", "-v"])


@pytest.fixture
def pki(tmp_path):
    return Authority(str(tmp_path / "pki"))


def is_logged(daemon, text):
    wait_for(lambda: text in daemon.log(), f'"{text}" in the log')


def test_a_chain_on_either_side(directory, pki):
    """The server sends its intermediate authority's, and takes the client's."""
    pki.issue("server", "/CN=localhost", SERVER, issuer="inter")
    pki.join("server-cert.pem", "server-cert.pem", "inter-cert.pem")
    pki.issue("below", "/CN=below", CLIENT, issuer="inter")
    pki.join("below-chain.pem", "below-cert.pem", "inter-cert.pem")
    with serve(directory, pki) as daemon:
        assert not refused(daemon, pki.client("client"))
        assert not refused(daemon, pki.client("below", "below-chain.pem"))
        assert refused(daemon, pki.client("below"))
        is_logged(daemon, "TLS: unable to get local issuer certificate")


def test_an_intermediate_authority_is_enough(directory, pki):
    """The one above it isn't there, and others of that are strangers."""
    pki.issue("below", "/CN=below", CLIENT, issuer="inter")
    pki.revoke("root.crl", "ca")
    shutil.copy(pki.path("inter-cert.pem"), pki.path("ca-cert.pem"))
    with serve(directory, pki) as daemon:
        assert not refused(daemon, pki.client("below"))
        assert refused(daemon, pki.client("client"))
        # Its own list is enough, too, and nothing else is.
        for revoked in (), ("below",):
            pki.revoke("ca-crl.pem", "inter", *revoked)
            daemon.ctl("reload-tls")
            assert refused(daemon, pki.client("below")) is bool(revoked)
        shutil.copy(pki.path("root.crl"), pki.path("ca-crl.pem"))
        daemon.ctl("reload-tls")
        assert refused(daemon, pki.client("below"))


@pytest.mark.parametrize("extensions, days, reason", [
    (CLIENT, "0", "certificate has expired"), (SERVER, "30", "unsuitable certificate purpose")], ids=["expired", "a server's"])
def test_what_is_no_good_as_a_client_s(directory, pki, extensions, days, reason):
    pki.issue("other", "/CN=other", extensions, days=days)
    with serve(directory, pki) as daemon:
        assert refused(daemon, pki.client("other"))
        is_logged(daemon, "TLS: " + reason)


@pytest.mark.parametrize("of_root, of_below, good", [
    ((), (), ["client", "below"]), (("client",), (), ["below"]), ((), ("below",), ["client"]), (("inter",), (), ["client"]),
    ((), None, ["client"])], ids=["nothing", "the client", "the one below", "the authority below", "a list is missing"])
@pytest.mark.parametrize("authorities", [["root.pem"], ["root.pem", "inter-cert.pem"], ["inter-cert.pem", "root.pem"]], ids=["one", "two", "turned"])
def test_each_authority_of_a_chain_has_a_list(directory, pki, of_root, of_below, good, authorities):
    """That the lower one is named, too, doesn't keep the other one from revoking it."""
    pki.issue("below", "/CN=below", CLIENT, issuer="inter")
    pki.join("below-chain.pem", "below-cert.pem", "inter-cert.pem")
    pki.revoke("root.crl", "ca", *of_root)
    lists = ["root.crl"]
    if of_below is not None:
        pki.revoke("below.crl", "inter", *of_below)
        lists.append("below.crl")
    pki.join("ca-crl.pem", *lists)
    pki.join("ca-cert.pem", *authorities)
    with serve(directory, pki) as daemon:
        clients = {"client": pki.client("client"), "below": pki.client("below", "below-chain.pem")}
        assert [name for name, client in clients.items() if not refused(daemon, client)] == good


NAMES = {"common": "cert:in common", "dns": "cert:vm1.example", "mail": "cert:me@example.org", "uri": "cert:spiffe\\://example/vm1",
         "subject": "cert:CN\\=in common\\,O\\=Example", "order": "cert:O\\=Example\\,CN\\=in common", "ip": "cert:192.0.2.1",
         "prefix": "cert:vm1", "case": "cert:VM1.example"}


@pytest.mark.parametrize("subject, alternatives, expected", [
    ("/O=Example/CN=in common", "DNS:vm1.example,email:me@example.org,URI:spiffe://example/vm1,IP:192.0.2.1",
     ["common", "dns", "mail", "uri", "subject"]),
    # Nothing but a subject is taken for one.
    ("/CN=CN\\=in common,O\\=Example", "DNS:CN=in common,URI:O=Example", []), ("/CN=in common,O=Example", "DNS:other", [])])
def test_by_which_names_they_are_known(directory, pki, subject, alternatives, expected):
    pki.issue("named", subject, [*CLIENT, "subjectAltName=" + alternatives])
    with serve(directory, pki, *(f"{name}=ram:1M,allow={rule}" for name, rule in NAMES.items())) as daemon:
        with secured(daemon, pki.client("named")) as wire:
            answers = {name: wire.option(OPT_INFO, go_data(name.encode()))[-1][0] for name in NAMES}
        assert set(answers.values()) <= {REP_ACK, ERR_POLICY}
        assert [name for name, answer in answers.items() if answer == REP_ACK] == expected


def test_a_subject_may_be_written_as_it_is_or_as_it_is_shown(directory, pki):
    pki.issue("named", "/O=Käse GmbH/CN=Jürgen", CLIENT)
    rules = {"common": "Jürgen", "written": "CN\\=Jürgen\\,O\\=Käse GmbH", "other": "CN\\=Jorgen\\,O\\=Käse GmbH",
             "shown": r"CN\=J\\C3\\BCrgen\,O\=K\\C3\\A4se GmbH"}
    with serve(directory, pki, *(f"{name}=ram:1M,allow=cert:{rule}" for name, rule in rules.items())) as daemon:
        with secured(daemon, pki.client("named")) as wire:
            assert [name for name in rules if wire.option(OPT_INFO, go_data(name.encode()))[-1][0] == REP_ACK] == ["common", "written", "shown"]
        is_logged(daemon, r"CN=J\C3\BCrgen,O=K\C3\A4se GmbH")


@pytest.mark.parametrize("units, whole", [(3, True), (4, False), (20, False)])
def test_a_subject_that_is_too_long_is_shown_in_part(directory, pki, units, whole):
    """Of one of more than 1023 bytes only the other names are known."""
    names = [f"OU={number:02}{'u' * 58}" for number in range(units)] + ["CN=client"]
    pki.issue("long", "/" + "/".join(names), CLIENT)
    subject = ",".join(reversed(names))
    comma = subject.replace(",", "\\,").replace("=", "\\=")
    with serve(directory, pki, "common=ram:1M,allow=cert:client", f"subject=ram:1M,allow=cert:{comma}",
                    f"part=ram:1M,allow=cert:{comma[:-1]}") as daemon:
        with secured(daemon, pki.client("long")) as wire:
            assert [wire.option(OPT_INFO, go_data(name))[-1][0] for name in (b"common", b"subject", b"part")] == [
                REP_ACK, REP_ACK if len(subject) < 1024 else ERR_POLICY, ERR_POLICY]
            shown, = (client["tls"]["identity"] for client in daemon.ctl_json("clients")["clients"])
            assert shown == (subject if whole else subject[:252] + "...")
