# SPDX-License-Identifier: BSD-2-Clause
"""What platterd does with configuration files when it starts."""

import os
import subprocess

import pytest

import tls_support
from config_support import Config
from daemon import PLATTERD, Daemon
from shared import Bystander
from wire_client import Wire

MIB = 1 << 20


@pytest.fixture
def config(directory):
    return Config(directory)


def names(daemon):
    return [export["name"] for export in daemon.ctl_json("exports")["exports"]]


def test_exports_and_listeners(config, directory):
    config.write(f"""
        [daemon]
        threads = 1          ; a reactor
        watchdog = 0
        [listen second]
        address = unix:{directory}/second.sock
        mode = 0666
        [export vm1]
        source = ram:2M
        description = one, two = three
        [export ro 1]
        source = disk:vm1
        readonly = yes
    """)
    with config.daemon() as daemon:
        assert "1 reactor on" in daemon.log()
        assert names(daemon) == ["vm1", "ro 1"]
        assert daemon.ctl_json("exports")["exports"][0]["description"] == "one, two = three"
        assert os.stat(f"{directory}/second.sock").st_mode & 0o777 == 0o666
        with Wire(daemon).go(b"vm1") as wire:
            assert wire.size == 2 * MIB
        daemon.socket = f"{directory}/second.sock"
        with Wire(daemon).go(b"ro 1") as wire:
            assert wire.write(0, b"x" * 512) != 0


def test_the_command_line_counts_instead(config, directory):
    config.write("[daemon]\nthreads = 2\n[export a]\nsource = ram:1M\n[export b]\nsource = ram:1M\n", listener=False)
    with config.daemon("a=ram:3M", options=["--threads=1", "--listen", f"unix:{directory}/nbd.sock"]) as daemon:
        assert "1 reactor on" in daemon.log()
        assert {one["name"]: one["size"] for one in daemon.ctl_json("exports")["exports"]} == {"a": 3 * MIB, "b": MIB}


def test_drop_ins_come_in_their_order(config):
    config.write("[export a]\nsource = ram:1M\ndescription = main\n")
    config.drop_in("20-b.conf", "[export a]\ndescription = twenty\n[export b]\nsource = ram:1M\n")
    config.drop_in("10-a.conf", "[export a]\ndescription = ten\n")
    config.drop_in("ignored.txt", "rubbish")
    config.drop_in(".hidden.conf", "rubbish")
    with config.daemon() as daemon:
        assert [(one["name"], one["description"]) for one in daemon.ctl_json("exports")["exports"]][0] == ("a", "twenty")
        assert names(daemon) == ["a", "b"]


def test_rules_for_those_that_have_none(config):
    config.write("[access]\nallow = uid:4242\n[export closed]\nsource = ram:1M\n[export open]\nsource = ram:1M\n"
                 f"allow = uid:{os.getuid()}\nallow = uid:4242\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"open"):
            pass
        with Wire(daemon) as wire, pytest.raises(AssertionError):
            wire.go(b"closed")


def test_tls(config):
    config.write(f"[tls]\ncertificates = {tls_support.certificates()}\nmode = on\n[export a]\nsource = ram:1M\ntls = on\n")
    with config.daemon() as daemon:
        assert "TLS on" in daemon.log()
        assert daemon.ctl_json("exports")["exports"][0]["tls"] is True


def test_every_problem_is_told(config):
    """Each with its file, line, section, key and value."""
    config.write("""x = 1
[daemon]
threads = 0
thread = 1
[exprot a]
source = ram:1M
[listen]
address = tcp:a
[listen b]
address = tcp:[::1
[listen c]
adress = tcp:a
[listen d]
[export c]
source = foo:1G
[export d]
source = ram:1M,readonly
[export e]
source = ram:1M
readonly = maybe
colour = red
tls = on
on-removal = never
[export f]
[access x]
[access]
allow = who
[modules]
lod = a
""", listener=False)
    status, complaints = config.check()
    assert status == 2
    for expected in [
            "platterd.conf:1: x = 1: stands in no section", "platterd.conf:3: [daemon] threads = 0: write a number from 1 to 1024",
            "platterd.conf:4: [daemon] thread = 1: there is no such key; there are: control, drain-timeout",
            "platterd.conf:5: [exprot]: there is no such section; there are: access, daemon", "platterd.conf:7: [listen]: write a name",
            "platterd.conf:10: [listen b] address = tcp:[::1: tcp:[::1: write [ADDRESS]:PORT",
            "platterd.conf:12: [listen c] adress = tcp:a: there is no such key; there are: address, mode, tls",
            "platterd.conf:13: [listen d]: where?", 'platterd.conf:15: [export c] source = foo:1G: unknown driver "foo"',
            "platterd.conf:17: [export d] source = ram:1M,readonly: a key has a line of its own",
            "platterd.conf:20: [export e] readonly = maybe: readonly=maybe: write on or off",
            "platterd.conf:21: [export e] colour = red: ", "platterd.conf:22: [export e] tls = on: nobody could use it",
            "platterd.conf:23: [export e] on-removal = never: write keep or drain", "platterd.conf:24: [export f]: of what?",
            "platterd.conf:25: [access x]: write [access]", "platterd.conf:27: [access] allow = who: ",
            "platterd.conf:29: [modules] lod = a: there is no such key; there are: load"]:
        found = [line for line in complaints if line.startswith(expected)]
        assert len(found) == 1, (expected, complaints)
        complaints.remove(found[0])
    assert complaints == []


def test_a_wrong_configuration_keeps_the_server_from_starting(config):
    config.write("[export a]\nsource = ram:1M\n[b]\n")
    with pytest.raises(AssertionError, match=r"ended with 2: (?s:.*)platterd.conf:5: \[b\]: there is no such section"):
        with config.daemon():
            pass
    config.write("[export a]\nsource = /nowhere.img\n[export b]\nsource = /neither.img\n")
    # It makes sense, but cannot be had: all of that is told, too.
    assert config.check()[0] == 0
    with pytest.raises(AssertionError, match=r"ended with 1: (?s:.*)nowhere(?s:.*)neither"):
        with config.daemon():
            pass


def test_check_config_looks_at_everything_and_starts_nothing(config, directory):
    config.write("[export a]\nsource = ram:1M\n")
    assert config.check() == (0, [])
    assert not os.path.exists(f"{directory}/nbd.sock")
    assert config.check("--listen=tcp:[::1", "x=foo:1") == (2, [
        'x=foo:1: unknown driver "foo" (there are: file, null, ram; a path starts with / or ./)',
        "--listen=tcp:[::1: tcp:[::1: write [ADDRESS]:PORT"])
    config.write("[tls]\ncertificates = /nowhere\n")
    assert config.check()[0] == 2


def test_a_file_that_others_may_change_is_not_believed(config):
    config.write("[export a]\nsource = ram:1M\n")
    os.chmod(config.path, 0o664)
    status, (complaint,) = config.check()
    assert status == 2 and complaint.startswith("platterd.conf: others than its owner may write it (mode 0664); chmod go-w")
    os.chmod(config.path, 0o644)
    config.drop_in("a.conf", "")
    os.chmod(config.path + ".d/a.conf", 0o646)
    status, (complaint,) = config.check()
    assert status == 2 and complaint.startswith("platterd.conf.d/a.conf: others than its owner may write it")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_not_believed(config):
    config.write("[export a]\nsource = ram:1M\n")
    os.chown(config.path, 4242, 0)
    status, (complaint,) = config.check()
    assert status == 2 and "belongs to the user 4242; a configuration must be root's" in complaint


def test_one_that_is_named_must_be_there(config, directory):
    assert config.check() == (2, ["platterd.conf: No such file or directory"])
    with Daemon(directory, "a=ram:1M", tls=False) as daemon:
        assert "there is no configuration: the server was started with --config=none" in daemon.ctl("reload", status=1)


def test_nothing_to_serve_is_told_with_an_empty_one(config):
    config.write("")
    done = subprocess.run([PLATTERD, "--config", config.path, "--control=none"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "nothing to serve" in done.stderr


def test_others_do_not_notice_a_reload(config):
    """A client that works all the time, while exports and listeners come and go around it."""
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        honest = Bystander(daemon, b"a")
        for index in range(20):
            exports = "".join(f"[export x{index}-{number}]\nsource = ram:1M\n" for number in range(5))
            listener = "[listen x]\naddress = tcp:127.0.0.1:0\n" if index % 2 else ""
            config.write(f"[export a]\nsource = ram:1M\ndescription = {index}\n{exports}{listener}")
            daemon.ctl("reload")
        honest.stop()
        honest.check()
