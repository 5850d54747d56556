# SPDX-License-Identifier: BSD-2-Clause
"""Drivers of every kind, as modules: those that complete at once, later, from a thread of their own, that block, and that misbehave."""

import os
import signal
import time

import pytest

from control_client import ControlClient
from daemon import Daemon, wait_for
from modules_support import COMPLETE, TIMER, build, by_thread, driver, variant
from wire_client import CMD_FLUSH, CMD_READ, CMD_WRITE, EIO, Wire, request

MIB = 1 << 20

KINDS = {
    "at_once": driver("at_once"),
    "by_thread": by_thread("by_thread"),
    "by_timer": variant("by_timer", "by_timer(request);", TIMER),
    "by_handle": variant("by_handle", "return 0;", ops=".handle = mem_submit").replace(
        "static void mem_submit(", "static int mem_submit("),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_driver_of_this_kind_serves(directory, kind):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, kind, KINDS[kind]))
        daemon.ctl("export", "add", f"m={kind}:1M")
        with Wire(daemon).go(b"m") as wire:
            for i in range(64):
                wire.send(request(CMD_WRITE, i * 16384, 16384, cookie=i, payload=bytes([i]) * 16384))
            assert sorted(wire.reply()[1] for _ in range(64)) == list(range(64))
            assert wire.command(CMD_FLUSH)[0] == 0
            assert wire.read(0, MIB) == b"".join(bytes([i]) * 16384 for i in range(64))
            assert wire.write(0, b"f" * 512, flags=1) == 0
            wire.disconnect()
        daemon.ctl("rmmod", "--drain", kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_driver_that_is_busy_at_the_end_of_the_server(directory, kind):
    """What its threads, and the pools', do to reactors is over when these are freed: the thread sanitizer sees it."""
    with Daemon(directory, "a=ram:1M", options=["--threads", "2"]) as daemon:
        daemon.ctl("insmod", build(directory, kind, KINDS[kind]))
        daemon.ctl("export", "add", f"m={kind}:1M", f"n={kind}:1M")
        wires = [Wire(daemon).go(name) for name in (b"m", b"n")]
        for wire in wires:
            wire.send(b"".join(request(CMD_READ, 0, 4096, cookie=i) for i in range(64)))
            assert wire.reply(4096)[0] == 0
        os.kill(daemon.pid, signal.SIGTERM)
        # All that was read whole is answered.
        for wire in wires:
            assert wire.reply(4096)[0] == 0
            wire.socket.close()
        assert daemon.process.wait(60) == 0


def test_a_driver_that_blocks_keeps_nobody_else_waiting(directory):
    source = KINDS["by_handle"].replace("return 0;\n        }", "{ struct timespec t = { 1 }; nanosleep(&t, NULL); } return 0;\n        }")
    with Daemon(directory, "a=ram:1M", options=["--threads", "1"]) as daemon:
        daemon.ctl("insmod", build(directory, "by_handle", "#include <time.h>\n" + source))
        daemon.ctl("export", "add", "m=by_handle:1M")
        slow, fast = Wire(daemon).go(b"m"), Wire(daemon).go(b"a")
        start = time.monotonic()
        # Sixteen are handled at once, the seventeenth has to wait for one of them.
        for i in range(17):
            slow.send(request(CMD_READ, 0, 512, cookie=i))
        for _ in range(100):
            fast.read(0, 4096)
        assert time.monotonic() - start < 1
        assert sorted(slow.reply(512)[1] for _ in range(17)) == list(range(17))
        assert 2 <= time.monotonic() - start < 15
        slow.disconnect()
        fast.disconnect()


def test_a_hang_up_with_requests_in_a_blocking_driver(directory):
    source = KINDS["by_handle"].replace("return 0;\n        }", "{ struct timespec t = { 0, 100000000 }; nanosleep(&t, NULL); } return 0;\n        }")
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "by_handle", "#include <time.h>\n" + source))
        daemon.ctl("export", "add", "m=by_handle:1M")
        with Wire(daemon).go(b"m") as wire:
            for i in range(64):
                wire.send(request(CMD_READ, 0, 4096, cookie=i))
        daemon.ctl("rmmod", "--drain=60", "by_handle")
        assert daemon.ctl_json("lsmod") == {"modules": []}


@pytest.mark.parametrize("complete, error, said", [
    ("platter_request_complete(request, 0); platter_request_complete(request, 0);", 0, "completed a request twice"),
    ("platter_request_complete(request, -123456);", EIO, ""), ("platter_request_complete(request, EIO);", EIO, ""),
    ("platter_request_complete(request, -EXDEV);", EIO, ""),
])
def test_what_a_driver_returns_is_not_trusted(directory, complete, error, said):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "odd", variant("odd", complete)))
        daemon.ctl("export", "add", "m=odd:1M")
        with Wire(daemon).go(b"m") as wire:
            assert wire.command(CMD_READ, 0, 512)[0] == error
            assert wire.write(0, b"x" * 512) == error
            wire.disconnect()
        with Wire(daemon).go(b"a") as wire:
            assert wire.read(0, 512) == bytes(512)
            wire.disconnect()
        assert said in daemon.log()


@pytest.mark.parametrize("lend", ["", "platter_request_lend(request, mem->memory, request->length / 2);",
                                  "platter_request_lend(request, mem->memory, request->length); platter_request_lend(request, mem->memory, 512);"])
def test_a_read_that_is_lent_another_length_is_an_error(directory, lend):
    source = variant("lender", f"if (request->op == PLATTER_OP_READ) {{ {lend} }} " + COMPLETE.split("\n")[0]).replace(
        "PLATTER_DISK_FLUSH;", "PLATTER_DISK_FLUSH | PLATTER_DISK_LENDS;").replace(
        "if (request->op == PLATTER_OP_READ) memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);", "")
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "lender", source))
        daemon.ctl("export", "add", "m=lender:1M")
        with Wire(daemon).go(b"m") as wire:
            assert wire.command(CMD_READ, 0, 4096)[0] == EIO
            assert wire.write(0, b"x" * 512) == 0
            wire.disconnect()
        assert "another length" in daemon.log()


@pytest.mark.parametrize("geometry, said", [
    ("geometry->bytes = 0;", "empty"), ("geometry->bytes = 1ull << 63;", "its size, 9223372036854775808, is more than 2^63-1 bytes"),
    ("geometry->bytes = UINT64_MAX;", "its size, 18446744073709551615, is more than 2^63-1 bytes"), ("geometry->bytes = 1000; geometry->min_block = 512;", "block"),
    ("geometry->min_block = 3;", "block"), ("geometry->preferred_block = 7;", "block"), ("geometry->memory_alignment = 3;", "alignment"),
    ("return 1;", "neither 0 nor"), ("return -5000;", "neither 0 nor"),
    ("return platter_fail(error, -ENOENT, \"%s\", \"turned round\");", "turned round"),
    ("return platter_fail(error, ENOMEDIUM, \"%s\", \"out of paper\");", "out of paper"),
])
def test_a_geometry_that_cannot_be_refuses_the_client(directory, geometry, said):
    source = driver("odd").replace("geometry->capabilities =", geometry + " geometry->capabilities =")
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "odd", source))
        daemon.ctl("export", "add", "m=odd:1M")
        for _ in range(2):
            with Wire(daemon) as wire:
                wire.flags()
                kind, text = wire.option(7, b"\0\0\0\1m\0\0")[-1]
                assert kind >= 2**31 and said in text.decode()
        assert [disk["name"] for disk in daemon.ctl_json("lsblk")["disks"]] == ["a", "m"]
        daemon.ctl("rmmod", "odd")


def test_the_largest_size_and_one_byte_more(directory):
    """At open and at revalidate; what probe says of it is unknown then: see below."""
    source = driver().replace("static const struct platter_disk_ops", """
        static unsigned long now = INT64_MAX; PLATTER_PARAM(now, ulong, 0644, "the size at revalidate");
        static int mem_revalidate(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error) { *bytes = now; return 0; }
        static const struct platter_disk_ops""", 1).replace("geometry->bytes = mem->size", "geometry->bytes = INT64_MAX").replace(
            ".submit = mem_submit };", ".submit = mem_submit, .revalidate = mem_revalidate };")
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "mem", source))
        daemon.ctl("export", "add", "m=mem:1M")
        with Wire(daemon).go(b"m") as wire:
            assert wire.size == 2**63 - 1
            wire.disconnect()
        assert daemon.ctl("check", "m") == f"{2**63 - 1} bytes\n"
        daemon.ctl("param", "mem", "now", str(2**63))
        assert daemon.ctl("check", "m", status=1) == (
            f"platterctl: error: its size, {2**63}, is more than 2^63-1 bytes, the most that a disk can have\n")
        daemon.ctl("param", "mem", "now", "0")
        assert "it is empty" in daemon.ctl("check", "m", status=1)
        daemon.ctl("param", "mem", "now", str(2**63 - 2))
        assert daemon.ctl_json("check", "m") == {"size": 2**63 - 2, "resized": True, "media_changed": False}


def test_a_size_that_is_asked_for_is_told_from_none(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        for size in ("8E", str(2**63), "1" + "0" * 30):
            assert f"size={size}: more than 2^63-1 bytes" in daemon.ctl("export", "add", "null:" + size, status=1)
            assert f"{size}: more than 2^63-1 bytes" in daemon.ctl("export", "resize", "a", size, status=2)
        assert "not a size" in daemon.ctl("export", "add", "null:8X", status=1)
        assert daemon.ctl("export", "add", f"n=null:{2**63 - 1}") == "n\n"
        with Wire(daemon).go(b"n") as wire:
            assert wire.size == 2**63 - 1
            wire.disconnect()


def saying(text):
    """The driver mem, with TEXT in what it answers, refuses and logs."""
    literal = "".join(f"\\{byte:03o}" for byte in text.encode("latin-1"))
    source = driver().replace("static const struct platter_disk_ops", f"""
        static const char text[] = "{literal}";
        static int say(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv, struct platter_reply *reply,
                       struct platter_error *error)
        {{
            platter_log(PLATTER_LOG_INFO, "%s", text);
            if (argc) return platter_fail(error, EINVAL, "%s", text);
            platter_reply(reply, "%s", text);
            return 0;
        }}
        static const struct platter_command commands[] = {{ {{ "say", "[HARD]", "says it" }}, {{ NULL }} }};
        static const struct platter_disk_ops""", 1)
    return source.replace(".submit = mem_submit };", ".submit = mem_submit, .ioctl = say, .commands = commands };")


@pytest.mark.parametrize("before", ["", "x"])
def test_a_text_that_is_cut_within_a_character_ends_before_it(directory, before):
    with Daemon(directory, "a=ram:1M") as daemon, ControlClient(daemon) as client:
        client.result("module.insmod", file=build(directory, "mem", saying(before + "\u00c3\u00a9" * 1000)))
        client.result("export.add", spec="m=mem:1M")
        texts = [client.result("disk.ioctl", disk="m", command="say")["text"].rstrip("\n"),
                 client.error("disk.ioctl", disk="m", command="say", args=["hard"])["message"],
                 next(message["text"] for message in client.result("log")["messages"] if "\u00e9" in message["text"])]
        for text in texts:
            assert text.startswith(before + "\u00e9" * 200) and set(text) <= {"x", "\u00e9"}


def test_a_text_that_is_no_utf_8_is_shown_as_far_as_it_can_be(directory):
    with Daemon(directory, "a=ram:1M") as daemon, ControlClient(daemon) as client:
        client.result("module.insmod", file=build(directory, "mem", saying("one \xff two")))
        client.result("export.add", spec="m=mem:1M")
        assert client.result("disk.ioctl", disk="m", command="say")["text"].startswith("one ? two")
        assert client.error("disk.ioctl", disk="m", command="say", args=["hard"])["message"] == "one ? two"
        assert "one ? two" in daemon.ctl("dmesg")


def test_a_driver_s_own_texts_are_one_line_of_utf_8(directory):
    """Whatever they hold: what is listed with them stays in the list, and clients get what they can show."""
    source = saying("yes").replace('"memory"', '"me\\xffmory\\n\\303\\251"').replace('"says it"', '"sa\\xffys"').replace('"[HARD]"', '"\\033[1m"')
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "mem", source))
        daemon.ctl("export", "add", "m=mem:1M")
        assert [disk["description"] for disk in daemon.ctl_json("lsblk")["disks"]][1:] == ["me?mory???"]
        assert [export["description"] for export in daemon.ctl_json("exports")["exports"]][1:] == ["me?mory???"]
        assert daemon.ctl_json("ioctl", "m")["commands"] == [{"name": "say", "arguments": "?[1m", "help": "sa?ys"}]


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a/b", "a:b", "a,b", "\\303\\251", "\\033[1m", "x" * 65])
def test_a_driver_s_name_can_be_written_in_a_configuration(directory, name):
    with Daemon(directory, "a=ram:1M") as daemon:
        source = driver().replace('.name = "mem"', f'.name = "{name}"')
        assert "its init failed: Invalid argument" in daemon.ctl("insmod", build(directory, "mem", source), status=1)
        assert daemon.ctl("devices") == "Block devices:\n252 ram\n253 null\n254 file\n"
        daemon.ctl("insmod", build(directory, "mem", driver().replace('.name = "mem"', f'.name = "{"x" * 64}"')))


def test_a_capacity_above_all_that_can_be_is_unknown(directory):
    for bytes_, size in (("1ull << 63", None), ("UINT64_MAX", None), ("INT64_MAX", 2**63 - 1)):
        with Daemon(directory, "a=ram:1M") as daemon:
            source = driver().replace("platter_disk_set_capacity(disk, mem->size)", f"platter_disk_set_capacity(disk, {bytes_})")
            daemon.ctl("insmod", build(directory, "mem", source))
            daemon.ctl("export", "add", "m=mem:1M")
            assert [disk["size"] for disk in daemon.ctl_json("lsblk")["disks"]] == [MIB, size]
            assert [export["size"] for export in daemon.ctl_json("exports")["exports"]] == [MIB, size]
            assert daemon.ctl("lsblk").splitlines()[2].split()[2] == ("8E" if size else "?")


def test_structures_of_another_size(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        larger = driver("odd").replace(".size = sizeof(ops)", ".size = sizeof(ops) + 8")
        assert "Invalid argument" in daemon.ctl("insmod", build(directory, "odd", larger), status=1)
        smaller = driver("odd").replace(".size = sizeof(ops)", ".size = offsetof(struct platter_disk_ops, revalidate)")
        daemon.ctl("insmod", build(directory, "odd", smaller))
        daemon.ctl("export", "add", "m=odd:1M")
        with Wire(daemon).go(b"m") as wire:
            assert wire.write(0, b"x" * 512) == 0
            wire.disconnect()
        assert "cannot be resized" in daemon.ctl("export", "resize", "m", "2M", status=1)
        wait_for(lambda: daemon.ctl_json("lsmod")["modules"][0]["users"] == 0, "the client has gone")
        daemon.ctl("rmmod", "odd")
