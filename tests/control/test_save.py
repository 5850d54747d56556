# SPDX-License-Identifier: BSD-2-Clause
"""platterctl export --save: what is added outlasts the server, and what is removed stays away."""

import os
import re
import subprocess
import sys

import pytest

from config_support import Config
from daemon import PATIENCE, PLATTERCTL, Daemon
from wire_client import Wire

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "drivers"))
from strace import ENVIRONMENT  # pylint: disable=wrong-import-position


@pytest.fixture
def config(directory):
    config = Config(directory)
    config.write("")
    return config


def names(daemon):
    return [export["name"] for export in daemon.ctl_json("exports")["exports"]]


def saved(config):
    return sorted(os.listdir(config.path + ".d")) if os.path.exists(config.path + ".d") else []


def test_saved_exports_are_there_again(config, directory):
    with open(f"{directory}/a,b.img", "wb") as image:
        image.truncate(1 << 20)
    with config.daemon() as daemon:
        assert daemon.ctl("export", "add", "--save", "vm1=ram:1M,readonly,uuid=01234567-89ab-cdef-0123-456789abcdef,description=a\\, b;c,allow=uid:0,allow=uid:1",
                          f"{directory}/a\\,b.img") == "vm1\nfile0\n"
        assert saved(config) == ["export-file0.conf", "export-vm1.conf"]
        with Wire(daemon).go(b"file0") as wire:
            # It is the configuration's now, and there already.
            assert daemon.ctl("reload") == ""
            assert wire.read(0, 512) == bytes(512)
        before = daemon.ctl_json("exports")
    with config.daemon() as daemon:
        assert {one["name"]: one for one in daemon.ctl_json("exports")["exports"]} == {one["name"]: one for one in before["exports"]}
        daemon.ctl("export", "remove", "--save", "--drain", "vm1")
        assert saved(config) == ["export-file0.conf"]
        assert daemon.ctl("reload") == ""
        assert names(daemon) == ["file0"]


def test_what_is_saved_outlasts_a_loss_of_power(config, directory):
    """The file's content is durable before it has its name, and the name before anybody is told."""
    trace = f"{directory}/trace"
    with config.daemon() as daemon:
        subprocess.run(["strace", "-y", "-o", trace, "-e", "trace=fsync,rename,write", "-e", "signal=none",
                        PLATTERCTL, "--socket", daemon.control, "export", "add", "--save", "a=ram:1M"],
                       check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})
    with open(trace, encoding="utf-8") as lines:
        calls = re.findall(r'^(fsync|rename|write)\(.*?(export-a\.conf|platterd\.conf\.d>|"a\\n")', lines.read(), re.MULTILINE)
    assert calls == [("write", "export-a.conf"), ("fsync", "export-a.conf"), ("rename", "export-a.conf"), ("fsync", "platterd.conf.d>"),
                     ("write", '"a\\n"')]


def test_names_that_are_no_file_names(config):
    name = "../ä b%/[x]"
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "--save", name.replace("..", "\\..") + "=ram:1M")
        assert saved(config) == ["export-..%2F%C3%A4%20b%25%2F%5Bx%5D.conf"]
    with config.daemon() as daemon:
        assert names(daemon) == [name]
        daemon.ctl("export", "remove", name, "--save")
    assert saved(config) == []


def test_only_a_path_is_meant_from_here(config, directory):
    with open(f"{directory}/x.img", "wb") as image:
        image.truncate(1 << 20)
    here = os.path.relpath(f"{directory}/x.img")
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "--save", "a=ram:1M,description=.b", f"b\\=c={here}", "ram:1M,description=.d,uuid=01234567-89ab-cdef-0123-456789abcdef")
        assert sorted((one["name"], one["description"]) for one in daemon.ctl_json("exports")["exports"])[0] == ("a", ".b")
        assert ".d" in [one["description"] for one in daemon.ctl_json("exports")["exports"]]
        with open(config.path + ".d/export-b%3Dc.conf", encoding="utf-8") as file:
            assert f"source = {os.getcwd()}/{here}\n" in file.read()


def test_a_value_may_be_empty(config):
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "--save", "a=ram:1M,description=")
        assert daemon.ctl("reload") == ""
    with config.daemon() as daemon:
        assert daemon.ctl_json("exports")["exports"][0]["description"] == ""


def test_another_definition_takes_the_place(config):
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "--save", "a=ram:1M")
        daemon.ctl("export", "remove", "a")
        daemon.ctl("export", "add", "--save", "a=ram:2M")
    with config.daemon() as daemon:
        assert daemon.ctl_json("exports")["exports"][0]["size"] == 2 << 20


@pytest.mark.parametrize("description", [" x", "x ", "x ;y", ";x"])
def test_what_the_files_cannot_say_is_not_saved(config, description):
    with config.daemon() as daemon:
        assert "a is exported, but not saved: " in daemon.ctl("export", "add", "--save", f"a=ram:1M,description={description}", status=1)
        assert names(daemon) == ["a"] and saved(config) == []


def test_what_is_refused_is_not_saved(config):
    with config.daemon() as daemon:
        daemon.ctl("export", "add", "--save", "a=ram:what", status=1)
        daemon.ctl("export", "remove", "--save", "a", status=1)
        daemon.ctl("export", "resize", "--save", "a", "1M", status=2)
        assert saved(config) == []


def test_what_is_configured_otherwise_is_told(config):
    config.write("[export a]\nsource = ram:1M\n")
    with config.daemon() as daemon:
        assert "export-a.conf isn't there" in daemon.ctl("export", "remove", "--save", "a", status=1)
        assert daemon.ctl("reload") == "added a\n"


def test_without_a_configuration_nothing_can_be_saved(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "--config=none" in daemon.ctl("export", "add", "--save", "b=ram:1M", status=1)
        assert names(daemon) == ["a"]
