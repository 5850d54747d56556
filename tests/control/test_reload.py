# SPDX-License-Identifier: BSD-2-Clause
"""Reading the configuration again: what is new, changed and gone, and who doesn't notice."""

import os
import shutil
import signal
import time

import pytest

import tls_support
from config_support import Config
from control_client import ControlClient
from daemon import wait_for
from modules_support import build, driver
from test_partitions import MBR, image
from tls_support import refused
from wire_client import CMD_READ, Wire

MIB = 1 << 20
KINDS = ("added", "changed", "removed", "leaving", "restart", "failed")


@pytest.fixture
def config(directory):
    return Config(directory)


def sizes(daemon):
    return {one["name"]: one["size"] for one in daemon.ctl_json("exports")["exports"]}


def reloaded(daemon):
    """What it says that it did, by kind, where there is any."""
    with ControlClient(daemon) as client:
        answer = client.result("reload")
    assert tuple(answer) == KINDS
    return {kind: done for kind, done in answer.items() if done}


def reload(daemon, **expected):
    assert reloaded(daemon) == expected


def usable(daemon, name):
    with Wire(daemon) as wire:
        try:
            wire.go(name)
        except AssertionError:
            return False
        return True


def test_nothing_has_changed(config):
    config.write("[export a]\nsource = ram:1M\n[listen b]\naddress = tcp:127.0.0.1:0\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a") as wire:
            reload(daemon)
            wire.write(0, b"x" * 512)
        assert daemon.ctl("reload") == ""


def test_exports_are_added_and_removed(config):
    config.write("[export a]\nsource = ram:1M\n[export b]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write("[export b]\nsource = ram:1M\n[export c]\nsource = ram:3M\n")
        reload(daemon, added=["c"], removed=["a"])
        assert sizes(daemon) == {"b": MIB, "c": 3 * MIB}
        config.write("[export b]\nsource = ram:1M\n")
        config.drop_in("c.conf", "[export c]\nsource = ram:3M\n")
        reload(daemon)


def test_what_was_removed_by_hand_comes_back(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        daemon.ctl("export", "remove", "a")
        reload(daemon, added=["a"])


def test_what_others_asked_for_is_left_alone(config):
    """The command line's and platterctl's; those that the configuration asks for, too, become its."""
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon("line=ram:1M") as daemon:
        daemon.ctl("export", "add", "hand=ram:1M", "ram:1M", "both=ram:1M,description=x", "other=ram:1M")
        config.write("[export line]\nsource = ram:7M\n[export both]\nsource = ram:1M\ndescription = y\n[export other]\nsource = ram:2M\n")
        reload(daemon, removed=["a"], changed=["both"],
               failed=["other: not added: there is one already, of other data, that platterctl added; remove that first"])
        assert "other: not added" in daemon.ctl("reload", status=1)
        assert sizes(daemon) == {"line": MIB, "hand": MIB, "ram0": MIB, "both": MIB, "other": MIB}
        config.write("[export line]\nsource = ram:7M\n")
        reload(daemon, removed=["both"])


def test_who_may_use_it_changes_without_a_new_disk(config):
    """The disk keeps its data, and those who are there stay."""
    config.write("[export a]\nsource = ram:1M\n[export ro]\nsource = disk:a\nreadonly = on\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a") as wire, Wire(daemon).go(b"ro") as reader:
            wire.write(0, b"x" * 512)
            config.write("[export a]\nsource = ram:1M\nallow = uid:4242\ndescription = closed\nqueue.nr_requests = 7\n"
                         "[export ro]\nsource = disk:a\nreadonly = on\nallow = uid:4242\n")
            reload(daemon, changed=["ro", "a"])
            assert not usable(daemon, b"a") and not usable(daemon, b"ro")
            assert wire.read(0, 512) == reader.read(0, 512) == b"x" * 512
            found = daemon.ctl_json("exports")["exports"][0]
            assert (found["name"], found["restricted"], found["description"], found["clients"]) == ("a", True, "closed", 1)
            assert daemon.ctl_json("queue", "a", "nr_requests") == {"nr_requests": 7}
            config.write(f"[export a]\nsource = ram:1M\nallow = uid:{os.getuid()}\n[export ro]\nsource = disk:a\nreadonly = on\n")
            reload(daemon, changed=["ro", "a"], restart=["[export a] queue.nr_requests"])
        with Wire(daemon).go(b"a") as wire:
            assert wire.read(0, 512) == b"x" * 512
        wait_for(lambda: [one["clients"] for one in daemon.ctl_json("exports")["exports"]] == [0, 0], "clients are counted down")


def test_partitions_have_the_rules_of_their_disk(config, directory):
    path = image(directory, "mbr", MBR)
    config.write(f"[export a]\nsource = {path}\npartitions = on\n")
    with config.daemon() as daemon:
        assert usable(daemon, b"ap1")
        config.write(f"[export a]\nsource = {path}\npartitions = on\nallow = uid:4242\n")
        reload(daemon, changed=["a"])
        assert not usable(daemon, b"a") and not usable(daemon, b"ap1") and not usable(daemon, b"ap5")
        config.write(f"[export a]\nsource = {path}\npartitions = on\non-removal = drain\n")
        reload(daemon, changed=["a"])
        with Wire(daemon).go(b"ap5") as wire:
            config.write("")
            reload(daemon, leaving=["a"])
            assert wire.socket.recv(1) == b""
        wait_for(lambda: sizes(daemon) == {}, "it leaves with its partitions")


def test_files_of_rules_are_read_again(config, directory):
    def rules(text):
        with open(f"{directory}/rules", "w", encoding="ascii") as file:
            file.write(text)

    rules("uid:4242\n")
    config.write(f"[export a]\nsource = ram:1M\nallow = @{directory}/rules\n")
    with config.daemon() as daemon:
        assert not usable(daemon, b"a")
        rules(f"uid:{os.getuid()}\n")
        reload(daemon)
        assert usable(daemon, b"a")
        rules("nonsense\n")
        assert "nonsense" in daemon.ctl("reload", status=1)
        assert usable(daemon, b"a")


def test_one_that_is_used_leaves_with_its_clients(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a") as wire:
            config.write("")
            reload(daemon, leaving=["a"])
            # Nothing more is to be done.
            reload(daemon)
            wait_for(lambda: not usable(daemon, b"a"), "nobody new is let in")
            wire.write(0, b"x" * 512)
            assert wire.read(0, 512) == b"x" * 512
            assert "a" in sizes(daemon)
        wait_for(lambda: sizes(daemon) == {}, "it leaves")


def test_one_that_was_to_leave_may_stay_after_all(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a") as wire:
            wire.write(0, b"x" * 512)
            config.write("")
            reload(daemon, leaving=["a"])
            config.write("[export a]\nsource = ram:1M\n")
            reload(daemon)
            wait_for(lambda: usable(daemon, b"a"), "clients are let in again")
        with Wire(daemon).go(b"a") as wire:
            assert wire.read(0, 512) == b"x" * 512


def test_one_that_stays_after_all_may_have_changed(config):
    """It is changed as soon as it has stopped leaving, and what stands on it comes then."""
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a"):
            config.write("")
            reload(daemon, leaving=["a"])
            wait_for(lambda: not usable(daemon, b"a"), "nobody new is let in")
            config.write("[export a]\nsource = ram:1M\ndescription = new\n[export ro]\nsource = disk:a\n")
            reload(daemon)
            wait_for(lambda: usable(daemon, b"ro"), "what stands on it comes")
            assert daemon.ctl_json("exports")["exports"][0]["description"] == "new"
        assert "error" not in daemon.log()


def test_how_one_leaves_is_what_is_configured_by_now(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon, Wire(daemon).go(b"a") as wire:
        config.write("[export a]\nsource = ram:2M\non-removal = drain\n")
        reload(daemon, leaving=["a"])
        assert wire.socket.recv(1) == b""
        wait_for(lambda: sizes(daemon) == {"a": 2 * MIB}, "the new one comes")


def test_what_stands_on_one_that_leaves_waits_for_the_next(config):
    """Though nobody uses it itself."""
    both = "[export a]\nsource = ram:%s\n[export ro]\nsource = disk:a\n"
    config.write(both % "1M")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a"):
            config.write(both % "2M")
            reload(daemon, removed=["ro"], leaving=["a"])
            reload(daemon)
        wait_for(lambda: sizes(daemon) == {"a": 2 * MIB, "ro": 2 * MIB}, "the new ones come")
        assert "error" not in daemon.log()


def test_one_that_was_exported_by_hand_too_stays(config):
    """Its clients aren't waited for: that name would be there still."""
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "hand=disk:a")
        with Wire(daemon).go(b"hand"):
            config.write("")
            reload(daemon, failed=["a: not removed: a is exported as hand, too: remove that first"])
        assert usable(daemon, b"a")


def test_what_stands_on_another_may_come_before_it(config):
    """At the start, too: the files' names say nothing of what is in them."""
    config.drop_in("a.conf", "[export a]\nsource = disk:b\n")
    config.drop_in("b.conf", "[export b]\nsource = ram:1M\n")
    config.write("")
    with config.daemon() as daemon:
        assert sizes(daemon) == {"a": MIB, "b": MIB}
        config.drop_in("0.conf", "[export x]\nsource = disk:y\n[export y]\nsource = ram:1M\n[export z]\nsource = disk:nowhere\n")
        reload(daemon, added=["y", "x"], failed=["z: not added: there is no disk named \"nowhere\""])
        assert daemon.log().count("nowhere") == 1


def test_one_that_went_with_its_module_comes_back_changed(config, directory):
    library = build(directory, "mem", driver())
    config.write("")
    with config.daemon() as daemon:
        daemon.ctl("insmod", library)
        config.write("[export a]\nsource = mem:size=1M\n")
        reload(daemon, added=["a"])
        daemon.ctl("rmmod", "mem")
        assert sizes(daemon) == {}
        config.write("[export a]\nsource = mem:size=1M\ndescription = new\n")
        daemon.ctl("insmod", library)
        reload(daemon, added=["a"])


def test_one_that_drains_ends_its_clients_connections(config):
    config.write("[export a]\nsource = ram:1M\non-removal = drain\n[export b]\nsource = ram:1M\n"
                 "[export c]\nsource = disk:b\non-removal=drain\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a") as wire, Wire(daemon).go(b"b") as stays, Wire(daemon).go(b"c") as other:
            config.write("[export b]\nsource = ram:1M\n")
            reload(daemon, leaving=["c", "a"])
            assert wire.socket.recv(1) == other.socket.recv(1) == b""
            wait_for(lambda: set(sizes(daemon)) == {"b"}, "they leave")
            stays.write(0, b"x" * 512)


def test_another_disk_comes_when_the_old_one_has_left(config):
    """With the exports that stand on it."""
    config.write("[export a]\nsource = ram:1M\n[export ro]\nsource = disk:a\nreadonly = on\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"ro"):
            config.write("[export a]\nsource = ram:2M\n[export ro]\nsource = disk:a\nreadonly = on\n")
            reload(daemon, leaving=["ro", "a"])
            assert sizes(daemon)["a"] == MIB
        wait_for(lambda: sizes(daemon) == {"a": 2 * MIB, "ro": 2 * MIB}, "the new ones come")
        assert "error" not in daemon.log()
        config.write("[export a]\nsource = ram:3M\n[export ro]\nsource = disk:a\nreadonly = on\n")
        reload(daemon, removed=["ro", "a"], added=["a", "ro"])
        assert sizes(daemon) == {"a": 3 * MIB, "ro": 3 * MIB}


def test_listeners_come_and_go(config, directory):
    def listener(name, more=""):
        return f"[listen {name}]\naddress = unix:{directory}/{name}.sock\n{more}"

    config.write("[export a]\nsource = ram:1M\n" + listener("b"))
    with config.daemon() as daemon:
        daemon.socket = f"{directory}/b.sock"
        with Wire(daemon).go(b"a") as wire:
            config.write("[export a]\nsource = ram:1M\n" + listener("c"))
            reload(daemon, added=[f"unix:{directory}/c.sock"], removed=[f"unix:{directory}/b.sock"])
            assert not os.path.exists(daemon.socket)
            # Who came by it stays.
            assert wire.read(0, 512) == bytes(512)
        daemon.socket = f"{directory}/c.sock"
        assert usable(daemon, b"a")
        config.write("[export a]\nsource = ram:1M\n" + listener("c", "mode = 0666\n") + "[listen d]\naddress = unix:/nowhere/d.sock\n")
        reload(daemon, removed=[f"unix:{directory}/c.sock"], added=[f"unix:{directory}/c.sock,mode=0666"],
               failed=["unix:/nowhere/d.sock: No such file or directory"])
        assert os.stat(daemon.socket).st_mode & 0o777 == 0o666 and usable(daemon, b"a")


def test_tls_may_come_later(config, directory):
    """Certificates, and a listener's mode, without closing it; files of the same names are read again."""
    own = tls_support.make(os.path.join(directory, "pki"))
    strangers = tls_support.certificates("strangers")
    tls = f"[export a]\nsource = ram:1M\n[tls]\ncertificates = {own}\nmode = %s\n"
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write(tls % "on")
        reload(daemon, changed=[f"unix:{directory}/nbd.sock"])
        assert not refused(daemon, tls_support.context(own)) and usable(daemon, b"a")
        for name in os.listdir(strangers):
            shutil.copy(os.path.join(strangers, name), own)
        reload(daemon)
        assert refused(daemon, tls_support.context(tls_support.certificates())) and not refused(daemon, tls_support.context(own))
        config.write(tls % "required")
        reload(daemon, changed=[f"unix:{directory}/nbd.sock"])
        assert not usable(daemon, b"a") and "nobody can use it" not in daemon.log()
        config.write((tls % "off").replace("ram:1M", "ram:1M\ntls = on"))
        daemon.ctl("reload")
        assert "a: nobody can use it: it is for clients with TLS, and no address has that" in daemon.log()
        config.write(tls % "required")
        daemon.ctl("reload")
        os.unlink(f"{own}/server-key.pem")
        config.write((tls % "on") + "[export b]\nsource = ram:1M\n")
        assert "server-key.pem" in daemon.ctl("reload", status=1)
        assert not usable(daemon, b"a") and set(sizes(daemon)) == {"a"}
        config.write("[export a]\nsource = ram:1M\n")
        reload(daemon, restart=["[tls] certificates and psk"])


def test_tls_comes_to_where_the_command_line_listens(config, directory):
    """The configuration has no say where that is, but what TLS means there."""
    config.write("[export a]\nsource = ram:1M\n", listener=False)
    tls = f"[export a]\nsource = ram:1M\n[tls]\ncertificates = {tls_support.make(os.path.join(directory, 'pki'))}\nmode = %s\n"
    plain = f"unix:{directory}/plain.sock,tls=off"
    with config.daemon(options=["--listen", f"unix:{directory}/nbd.sock", "--listen", plain]) as daemon:
        config.write(tls % "required")
        reload(daemon, changed=[f"unix:{directory}/nbd.sock"])
        assert not usable(daemon, b"a")
        config.write(tls % "on")
        reload(daemon, changed=[f"unix:{directory}/nbd.sock"])
        assert usable(daemon, b"a")
        daemon.socket = f"{directory}/plain.sock"
        assert usable(daemon, b"a")


def test_tls_without_its_files_is_refused(config):
    """As at a start."""
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write("[export b]\nsource = ram:1M\n[tls]\nmode = on\nverify-peer = on\n", listener=False)
        complaints = daemon.ctl("reload", status=1)
        assert "[tls] mode = on: TLS needs certificates or psk" in complaints
        assert "[tls] verify-peer = on: certificates are missing" in complaints
        assert set(sizes(daemon)) == {"a"}


def test_what_needs_a_restart_is_named(config):
    config.write("[daemon]\nthreads = 1\nmemory = 64M\n[tls]\nktls = off\n[export a]\nsource = ram:1M\n")
    with config.daemon(options=["--watchdog=7"]) as daemon:
        config.write("[daemon]\nthreads = 2\nwatchdog = 8\n[tls]\nktls = on\n[export a]\nsource = ram:1M\n")
        reload(daemon, restart=["[daemon] memory", "[daemon] threads", "[tls] ktls"])
        assert "warning: [daemon] threads: counts only when the server is started again" in daemon.log()


def test_a_wrong_configuration_changes_nothing(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write("[export b]\nsource = ram:1M\n[export c]\nsource = ram:what\nreadonly = maybe\n[daemon]\nthreads = many\n")
        complaints = daemon.ctl("reload", status=1)
        assert "platterd.conf:6: [export c] source = ram:what: " in complaints
        assert "platterd.conf:9: [daemon] threads = many: write a number" in complaints
        assert sizes(daemon) == {"a": MIB}
        os.unlink(config.path)
        assert "there is no configuration" in daemon.ctl("reload", status=1)
        assert sizes(daemon) == {"a": MIB}


def test_what_cannot_be_had_is_named_and_the_rest_goes_on(config, directory):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write(f"[export a]\nsource = ram:1M\n[export b]\nsource = {directory}/image\n[export c]\nsource = ram:1M\n")
        assert f"b: not added: {directory}/image: No such file" in daemon.ctl("reload", status=1)
        assert set(sizes(daemon)) == {"a", "c"}
        with open(f"{directory}/image", "wb") as image:
            image.truncate(MIB)
        reload(daemon, added=["b"])


def test_sighup_reloads(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        config.write("[export b]\nsource = ram:1M\n")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_for(lambda: set(sizes(daemon)) == {"b"}, "SIGHUP is seen to")
        config.write("rubbish")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_for(lambda: "the configuration is not used" in daemon.log(), "SIGHUP is seen to")
        assert set(sizes(daemon)) == {"b"}


def test_sighup_does_not_hurry_the_end(config):
    config.write("[export a]\nsource = null:1M\ndelay = 2000000\n")
    with config.daemon() as daemon, Wire(daemon).go(b"a") as wire:
        wire.send(wire.request(CMD_READ, 0, 512))
        wait_for(lambda: daemon.ctl_json("clients")["clients"][0]["in_flight"] == 1, "it is on its way")
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it ends")
        # Later than a signal that means the same.
        time.sleep(0.2)
        os.kill(daemon.pid, signal.SIGHUP)
        assert wire.reply(512)[0] == 0
        wire.socket.close()
        assert daemon.process.wait(60) == 0


def test_the_end_does_not_wait_for_those_that_leave(config):
    config.write("[export a]\nsource = ram:1M\n[export b]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        with Wire(daemon).go(b"a"), Wire(daemon).go(b"b"):
            config.write("")
            reload(daemon, leaving=["b", "a"])
            assert daemon.stop() == 0
