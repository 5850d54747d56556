# SPDX-License-Identifier: BSD-2-Clause
"""What proves who somebody is, for TLS: keys, certificates, what is wrong with them, and reading them again."""

import os
import shutil
import signal
import subprocess
import urllib.parse

import pytest

import tls_support
from daemon import Daemon, wait_for
from tls_support import listed, refused, secured
from wire_client import ERR_POLICY, ERR_UNKNOWN, OPT_GO, OPT_STARTTLS, Wire, go_data

MIB = 1 << 20
CERTIFICATES = tls_support.certificates()
KEYS = os.path.join(CERTIFICATES, "keys.psk")
STRANGERS = tls_support.certificates("strangers")
CLIENT = tls_support.context(CERTIFICATES)
OPTIONS = tls_support.options()


def nbdinfo(daemon, identity, keys, status=0, export="open"):
    uri = f"nbds+unix://{identity}@/{export}?socket={daemon.socket}&tls-psk-file={keys}"
    ran = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode == 0) == (status == 0), ran
    return ran.stdout


def test_pre_shared_keys(directory):
    with Daemon(directory, "open=ram:64M", options=OPTIONS, tls=False) as daemon:
        assert nbdinfo(daemon, "client", KEYS) == f"{64 * MIB}\n"
        wait_for(lambda: "TLSv1.3, TLS_AES_128_GCM_SHA256, client\n" in daemon.ctl("dmesg"), "who it was is in the log")
        with secured(daemon):
            wait_for(lambda: "TLSv1.3, TLS_AES_128_GCM_SHA256, CN=client\n" in daemon.ctl("dmesg"), "who it was is in the log")


@pytest.mark.parametrize("identity, size", [("alice", 32), ("with:colons:", 32), ("grüße", 64), ("at#home", 128), ("a" * 255, 512)], ids=lambda v: str(v)[:12])
def test_keys_that_psktool_makes(directory, identity, size):
    """An identity with a colon is in hexadecimal in its file, behind a "#", which libnbd doesn't know: its file has it plain."""
    keys, plain = os.path.join(directory, "keys"), os.path.join(directory, "plain")
    for user in "before", identity, "behind":
        subprocess.run(["psktool", "-u", user, "-s", str(size), "-p", keys], check=True, capture_output=True, timeout=60)
    with open(keys, encoding="utf-8") as file, open(plain, "w", encoding="utf-8") as copy:
        written, key = file.readlines()[1].rsplit(":", 1)
        assert written.startswith("#") is (":" in identity)
        copy.write(f"{identity}:{key}")
    with Daemon(directory, "open=ram:1M", options=["--tls-psk", keys], tls=False) as daemon:
        assert nbdinfo(daemon, urllib.parse.quote(identity), plain) == f"{MIB}\n"
        wait_for(lambda: f"TLSv1.3, TLS_AES_128_GCM_SHA256, {identity}\n" in daemon.ctl("dmesg"), "who it was is in the log")


def test_keys_are_enough_by_themselves(directory):
    with Daemon(directory, "open=ram:1M", options=["--tls-psk", KEYS], tls=False) as daemon:
        assert nbdinfo(daemon, "client", KEYS) == f"{MIB}\n"
        assert refused(daemon, CLIENT)


def test_clients_are_listed_with_what_is_known_of_them(directory):
    with Daemon(directory, "open=ram:64M", options=[*OPTIONS, "--tls=on"], tls=False) as daemon:
        with Wire(daemon).go(b"open"), secured(daemon, export=b"open"):
            plain, tls = sorted(daemon.ctl_json("clients")["clients"], key=lambda one: one["tls"] is not None)
            assert plain["tls"] is None
            assert tls["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "identity": "CN=client", "kernel": False}
            lines = [line.split() for line in daemon.ctl("clients").splitlines()]
            assert lines[0][-4:] == ["TLS", "CIPHER", "KTLS", "IDENTITY"]
            assert sorted(line[-4:] for line in lines[1:]) == [["-"] * 4, ["TLSv1.3", "TLS_AES_128_GCM_SHA256", "no", "CN=client"]]


def test_wrong_keys_and_identities_are_refused(directory):
    wrong = os.path.join(directory, "wrong.psk")
    with open(wrong, "w", encoding="ascii") as file:
        file.write(f"client:{'ab' * 32}\nnobody:{'cd' * 32}\n")
    with Daemon(directory, "open=ram:1M", options=OPTIONS, tls=False) as daemon:
        nbdinfo(daemon, "client", wrong, status=1)
        nbdinfo(daemon, "nobody", wrong, status=1)
        assert nbdinfo(daemon, "client", KEYS) == f"{MIB}\n"


def refusal(directory, *options):
    with pytest.raises(AssertionError) as error:
        with Daemon(directory, "open=ram:1M", options=options, tls=False):
            pass
    return str(error.value)


@pytest.mark.parametrize("text, complaint", [
    ("", "there is no key in it"), ("# nothing\n\n", "there is no key in it"), ("client\n", "line 1: not IDENTITY:KEY"),
    ("# first\nclient:abc\n", "line 2: not IDENTITY:KEY"), ("client:xy\n", "line 1"), (":abcd\n", "line 1"), ("client:\n", "line 1"),
    (f"client:{'ab' * 513}\n", "line 1"), (f"{'i' * 256}:abcd\n", "line 1"),
    ("bell\a:abcd\n", "line 1"), ("#ff:abcd\n", "line 1"), ("#610062:abcd\n", "line 1"), (f"#{'61' * 256}:abcd\n", "line 1"),
    ("#61:xy\n", "line 1"), ("#616:abcd\n", "line 1"), ("#alice:abcd\n#:abcd\n", "there is no key in it")])
def test_keys_that_are_none(directory, text, complaint):
    path = os.path.join(directory, "keys")
    with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    assert complaint in refusal(directory, "--tls-psk", path)


def test_secrets_that_everybody_may_read(directory):
    own = tls_support.make(os.path.join(directory, "pki"))
    os.chmod(own + "/keys.psk", 0o604)
    assert "everybody on this machine may read or change it" in refusal(directory, "--tls-psk", own + "/keys.psk")
    os.chmod(own + "/server-key.pem", 0o644)
    assert "everybody on this machine may read or change it" in refusal(directory, "--tls-certificates", own)


@pytest.mark.parametrize("missing", ["server-cert.pem", "server-key.pem"])
def test_certificates_that_are_missing(directory, missing):
    own = tls_support.make(os.path.join(directory, "pki"))
    os.unlink(os.path.join(own, missing))
    assert missing in refusal(directory, "--tls-certificates", own)


def test_certificates_that_do_not_fit(directory):
    own = tls_support.make(os.path.join(directory, "pki"))
    os.replace(own + "/client-key.pem", own + "/server-key.pem")
    assert "server-key.pem" in refusal(directory, "--tls-certificates", own)
    os.unlink(own + "/ca-cert.pem")
    own = tls_support.make(os.path.join(directory, "pki2"))
    os.unlink(own + "/ca-cert.pem")
    assert "ca-cert.pem" in refusal(directory, "--tls-certificates", own, "--tls-verify-peer")
    with open(own + "/ca-cert.pem", "w", encoding="ascii") as file:
        file.write("no certificate")
    assert "ca-cert.pem" in refusal(directory, "--tls-certificates", own)


def test_a_key_with_a_passphrase(directory):
    """Nobody is asked for it, neither at the start nor by a thread that reads the files again."""
    own = tls_support.make(os.path.join(directory, "pki"))
    key = own + "/server-key.pem"

    def encrypt():
        subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:word", "-in", CERTIFICATES + "/server-key.pem", "-out", key], check=True,
                       capture_output=True, timeout=60)
        os.chmod(key, 0o600)

    with Daemon(directory, "open=ram:1M", options=["--tls-certificates", own], tls=False) as daemon:
        encrypt()
        assert "server-key.pem: it is encrypted" in daemon.ctl("reload-tls", status=1)
        assert "PEM pass phrase" not in daemon.log()
        assert not refused(daemon, tls_support.context(own))
    said = refusal(directory, "--tls-certificates", own)
    assert "server-key.pem: it is encrypted" in said and "PEM pass phrase" not in said


@pytest.mark.parametrize("content", ["", "no list\n"])
def test_a_list_of_revoked_ones_that_is_none(directory, content):
    own = tls_support.make(os.path.join(directory, "pki"))
    with open(own + "/ca-crl.pem", "w", encoding="ascii") as file:
        file.write(content)
    assert "ca-crl.pem: no start line" in refusal(directory, "--tls-certificates", own)


def test_options_that_need_credentials(directory):
    assert "--tls-certificates" in refusal(directory, "--tls-verify-peer")
    assert "TLS needs --tls-certificates or --tls-psk" in refusal(directory, "--tls=required")
    assert "TLS needs --tls-certificates or --tls-psk" in refusal(directory, "--listen", "tcp:127.0.0.1:0,tls=on")
    assert "--tls=sometimes: write off, on or required" in refusal(directory, *OPTIONS, "--tls=sometimes")
    assert "write off, on or required" in refusal(directory, *OPTIONS, "--listen", "tcp:127.0.0.1:0,tls=maybe")
    assert "not known behind an address" in refusal(directory, "--listen", "tcp:127.0.0.1:0,mode=600")
    assert "not known behind an address" in refusal(directory, *OPTIONS, "--listen", "tcp:127.0.0.1:0,tls=")
    assert "--control" in refusal(directory, *OPTIONS, "--control", directory + "/other.sock,tls=on")
    assert "nobody could use it" in refusal(directory, "secret=ram:1M,tls")


@pytest.mark.parametrize("how", ["platterctl", "SIGHUP"])
def test_reload(directory, how):
    """New connections have the new certificate, old ones go on; what cannot be used changes nothing."""
    own = tls_support.make(os.path.join(directory, "pki"))
    old, new = tls_support.context(own), tls_support.context(STRANGERS)

    def reload(daemon, works):
        said = daemon.log().count("read again") if works else daemon.log().count("what was is kept")
        if how == "platterctl":
            daemon.ctl("reload-tls", status=0 if works else 1)
        else:
            os.kill(daemon.pid, signal.SIGHUP)
            wait_for(lambda: daemon.log().count("read again" if works else "what was is kept") > said, "SIGHUP is seen to")

    # Whoever runs the tests may have it ignored.
    with Daemon(directory, "open=ram:1M", options=["--tls-certificates", own], tls=False,
                command=["env", "--default-signal=HUP"]) as daemon:
        with secured(daemon, old, b"open") as wire:
            assert refused(daemon, new)
            for name in os.listdir(STRANGERS):
                shutil.copy(os.path.join(STRANGERS, name), own)
            reload(daemon, True)
            assert refused(daemon, old) and not refused(daemon, new)
            os.unlink(own + "/server-cert.pem")
            reload(daemon, False)
            assert not refused(daemon, new)
            assert wire.write(0, b"still here") == 0


def test_listeners_differ(directory):
    with Daemon(directory, "open=ram:1M", "secret=ram:1M,tls", options=[*OPTIONS, "--tls=off", "--listen", "tcp:127.0.0.1:0,tls=required"],
                tls=False) as daemon:
        assert "TLS required" in daemon.log()
        with Wire(daemon) as wire:
            assert wire.go(b"open").read(0, 512) == bytes(512)
        with Wire(daemon) as wire:
            wire.flags()
            assert wire.option(OPT_STARTTLS)[0][0] == ERR_POLICY
            assert wire.option(OPT_GO, go_data(b"secret"))[0][0] == ERR_UNKNOWN
            assert listed(wire) == [b"open"]
