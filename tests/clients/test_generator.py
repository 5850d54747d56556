# SPDX-License-Identifier: BSD-2-Clause
"""platter-generator: which files it makes of which configuration."""

import os
import re
import subprocess

import pytest

from daemon import PLATTER, SANITIZED

GENERATOR = os.path.join(os.path.dirname(PLATTER), "platter-generator")

BY_ID = r"dev-disk-by\x2did-nbd\x2d"
BY_PATH = r"dev-disk-by\x2dpath-nbd\x2d"


@pytest.fixture
def generate(directory):
    attach_d, output = os.path.join(directory, "attach.d"), os.path.join(directory, "normal")
    os.mkdir(attach_d)
    os.mkdir(output)
    environment = os.environ | {"PLATTER_ATTACH_D": attach_d, "PLATTER_NBDTAB": os.path.join(directory, "nbdtab"),
                                "SYSTEMD_FSTAB": os.path.join(directory, "fstab")}

    def run(nbdtab="", fstab="", **files):
        """What it writes: a link's target or a file's lines, by name; what it says."""
        for name, text in (("nbdtab", nbdtab), ("fstab", fstab)):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
        for name, text in files.items():
            with open(os.path.join(attach_d, name + ".conf"), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([GENERATOR, output, directory + "/early", directory + "/late"], capture_output=True, text=True, env=environment,
                              timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "")
        return {os.path.relpath(path, output): content(path) for folder, _, names in os.walk(output) for path in
                (os.path.join(folder, name) for name in names)}, done.stderr.replace(directory + "/", "")

    def content(path):
        if os.path.islink(path):
            return os.readlink(path)
        with open(path, encoding="utf-8") as file:
            return file.read().replace(directory + "/", "").splitlines()[1:]

    return run


def wants(name):
    return f"remote-fs.target.wants/platter@{name}.service"


def drop_in(name):
    return f"platter@{name}.service.d/50-platter.conf"


def late(name, *devices):
    """Swap on these devices needs the network, which needs what comes behind other swap."""
    return {f"{device}.swap.d/50-platter.conf": ["[Unit]", "DefaultDependencies=no", "Conflicts=umount.target", "Before=umount.target",
                                                 f"After=platter@{name}.service"] for device in devices}


def order(source, *devices):
    return ["[Unit]", "SourcePath=" + source] + [f"{word}=blockdev@{device}.target" for device in devices for word in ("Wants", "Before")]


def test_nothing(generate):
    assert generate() == ({}, "")


def test_everything(generate):
    made, said = generate("nbd4 host data\nnbd5 host more _name=a-b,noauto\n", vm1="uri = nbd://h/x\n", vm2="uri = nbd://h/y\nauto = no\n")
    template = made[wants("vm1")]
    assert re.fullmatch(r"/.*/lib/systemd/system/platter@\.service", template)
    assert said == "" and made == {
        wants("vm1"): template,
        wants("data"): template,
        drop_in("vm1"): order("attach.d/vm1.conf", BY_ID + "vm1", BY_PATH + r"h:10809\x2dx"),
        drop_in("vm2"): order("attach.d/vm2.conf", BY_ID + "vm2", BY_PATH + r"h:10809\x2dy"),
        drop_in("data"): order("nbdtab", BY_ID + "data", BY_PATH + r"host:10809\x2ddata"),
        drop_in("a-b"): order("nbdtab", BY_ID + r"a\x2db", BY_PATH + r"host:10809\x2dmore"),
    } | late("vm1", BY_ID + "vm1", BY_PATH + r"h:10809\x2dx") | late("vm2", BY_ID + "vm2", BY_PATH + r"h:10809\x2dy") | late(
        "data", BY_ID + "data", BY_PATH + r"host:10809\x2ddata", "dev-nbd4") | late(
        "a-b", BY_ID + r"a\x2db", BY_PATH + r"host:10809\x2dmore", "dev-nbd5")


def test_partitions_of_fstab(generate):
    fstab = "".join(f"{device} none swap nofail 0 0\n" for device in (
        "/dev/disk/by-id/nbd-vm1-part2", "/dev/disk/by-path/nbd-h:7-a\\x2fb-part13", "/dev/nbd3p1",
        # None of them are: another disk's, no numbers, other devices.
        "/dev/disk/by-id/nbd-vm12-part2", "/dev/disk/by-id/nbd-vm1-part", "/dev/disk/by-id/nbd-vm1-part2x", "/dev/nbd31", "/dev/nbd3p", "LABEL=vm1"))
    made, said = generate(fstab=fstab + "nonsense\n", vm1="uri = nbd://h:7/a/b\ndevice = nbd3\n")
    by_path = BY_PATH + r"h:7\x2da\x5cx2fb"
    template = made.pop(wants("vm1"))
    assert template and said == "" and made == {
        drop_in("vm1"): order("attach.d/vm1.conf", BY_ID + "vm1", BY_ID + r"vm1\x2dpart2", by_path, by_path + r"\x2dpart13"),
    } | late("vm1", BY_ID + "vm1", BY_ID + r"vm1\x2dpart2", by_path, by_path + r"\x2dpart13", "dev-nbd3", "dev-nbd3p1")


def test_names_that_are_too_long_for_units(generate):
    name = "-".join("x" * 32)
    made, said = generate(**{name: f"uri = nbd://h/{'y' * 300}\n"})
    assert said == "" and made[drop_in(name)] == order(f"attach.d/{name}.conf", BY_ID + name.replace("-", r"\x2d"))
    made, said = generate(**{name: f"uri = nbd://h/{'%2F' * 30}\n"})
    assert said == "" and made[drop_in(name)] == order(f"attach.d/{name}.conf", BY_ID + name.replace("-", r"\x2d"))


def test_what_is_wrong_is_told_and_passed_over(generate):
    made, said = generate("nonsense\nnbd0 host data\nnbd1 host data\n", x="uri = nothing\n")
    assert sorted(made) == sorted([drop_in("data"), wants("data"), *late("data", BY_ID + "data", BY_PATH + r"host:10809\x2ddata", "dev-nbd0")])
    assert said.count("\n") == 3
    for text in ("attach.d/x.conf: nothing: a scheme is missing", "nbdtab:1: nonsense: device, host and export", "nbdtab:3: data is another one's"):
        assert text in said


def test_the_same_again(generate):
    assert generate(vm1="uri = nbd://h/x\n") == generate()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own calls are there, too")
def test_it_looks_at_nothing_but_files(generate, directory):
    """No socket, no other program, and in no time: a boot waits for it."""
    generate("nbd4 storage.example data\n", vm1="uri = nbds://storage.example/x\n")
    trace = os.path.join(directory, "trace")
    subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=socket,connect,execve,fork,vfork,clone,clone3,nanosleep,poll", GENERATOR,
                    directory + "/normal", "x", "x"], check=True, timeout=60,
                   env=os.environ | {"PLATTER_ATTACH_D": directory + "/attach.d", "PLATTER_NBDTAB": directory + "/nbdtab"})
    with open(trace, encoding="utf-8") as file:
        calls = re.findall(r"^\d+ +(\w+)\(", file.read(), re.M)
    assert calls == ["execve"]


def test_which_directories():
    done = subprocess.run([GENERATOR], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "which directories?" in done.stderr


def test_a_directory_that_cannot_be_written(directory):
    done = subprocess.run([GENERATOR, directory + "/none", "x", "x"], capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | {"PLATTER_ATTACH_D": directory, "PLATTER_NBDTAB": "/dev/null"})
    assert done.returncode == 0
    with open(os.path.join(directory, "vm1.conf"), "w", encoding="utf-8") as file:
        file.write("uri = nbd://h/x\n")
    done = subprocess.run([GENERATOR, directory + "/none", "x", "x"], capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | {"PLATTER_ATTACH_D": directory, "PLATTER_NBDTAB": "/dev/null"})
    assert done.returncode == 1 and "none/remote-fs.target.wants: No such file or directory" in done.stderr
