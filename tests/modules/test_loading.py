# SPDX-License-Identifier: BSD-2-Clause
"""insmod, rmmod, lsmod, param and symbols."""

import os
import subprocess

import pytest

from control_client import ControlClient
from daemon import PLATTERCTL, SANITIZED, Daemon, wait_for
from modules_support import build, driver, exporter, hello, importer, module
from wire_client import OPT_GO, REP_ACK, Wire, go_data

MIB = 1 << 20


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:1M") as running:
        yield running


def loaded(daemon):
    """The modules in the order of loading."""
    return [one["name"] for one in reversed(daemon.ctl_json("lsmod")["modules"])]


def mapped(daemon, name):
    with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as maps:
        return name in maps.read()


def refused(daemon, *arguments):
    """What insmod complains of; nothing stays behind."""
    before, descriptors = loaded(daemon), daemon.descriptors()
    complaint = daemon.ctl("insmod", *arguments, status=1)
    assert loaded(daemon) == before
    wait_for(lambda: daemon.descriptors() <= descriptors, "descriptors are closed")
    assert len(complaint.splitlines()) == 1
    return complaint


def test_a_module_lives_and_goes(daemon, directory):
    path = build(directory, "hello", hello())
    daemon.ctl("insmod", path)
    assert "warning: hello\n" in daemon.log() and mapped(daemon, "hello.so")
    lines = daemon.ctl("lsmod").splitlines()
    assert lines[0].split() == ["Module", "Size", "Used", "by"] and lines[1].split()[0] == "hello" and lines[1].split()[2] == "0"
    found = daemon.ctl_json("lsmod")["modules"][0]
    assert (found["state"], found["users"], found["taint"], found["version"], found["file"]) == ("Live", 0, "", "1.0", path)
    assert "loaded already" in refused(daemon, path)
    daemon.ctl("rmmod", "hello")
    assert "goodbye" in daemon.log() and loaded(daemon) == [] and not mapped(daemon, "hello.so")
    assert 'no module named "hello"' in daemon.ctl("rmmod", "hello", status=1)


def test_a_module_that_was_built_anew_runs_the_new_code(daemon, directory):
    for text in ("first", "second", "third"):
        daemon.ctl("insmod", build(directory, "hello", hello(text=text)))
        assert f"warning: {text}\n" in daemon.log()
        daemon.ctl("rmmod", "hello")


def test_modules_that_are_loaded_at_the_end_are_unloaded(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("insmod", build(directory, "lib", exporter()))
        daemon.ctl("insmod", build(directory, "user", importer()))
        daemon.ctl("insmod", build(directory, "mem", driver()))
        daemon.ctl("export", "add", "m=mem:1M")
        assert daemon.stop() == 0


def test_parameters(daemon, directory):
    source = '''
        static unsigned char byte = 1; PLATTER_PARAM(byte, byte, 0644, "x");
        static short small = -1; PLATTER_PARAM(small, short, 0444, "x");
        static char *text = (char *)"one"; PLATTER_PARAM(text, charp, 0644, "x");
        static bool flag; PLATTER_PARAM(flag, bool, 0644, "x");
        static int secret = 7; PLATTER_PARAM(secret, int, 0, "x");
        static unsigned long list[3]; static unsigned int given;
        PLATTER_PARAM_ARRAY(list, ulong, given, 0644, "x");
    ''' + hello("parm")
    path = build(directory, "parm", source)
    for argument, said in (("byte=256", "byte"), ("byte=-1", "byte"), ("small=x", "small"), ("list=1,2,3,4", "list"),
                           ("nothing=1", "nothing"), ("flag=maybe", "flag")):
        assert said in refused(daemon, path, argument) and "hello" not in daemon.log()
    daemon.ctl("insmod", path, "byte=0x10", "text=two words", "flag", "list=1,2", "secret=3")
    assert sorted(daemon.ctl("param", "parm").splitlines()) == ["byte=16", "flag=Y", "list=1,2", "small=-1", "text=two words"]
    daemon.ctl("param", "parm", "byte", "255")
    assert daemon.ctl("param", "parm", "byte") == "255\n"
    assert daemon.ctl_json("param", "parm", "byte") == {"params": [{"name": "byte", "value": "255", "writable": True}]}
    assert len(daemon.ctl_json("param", "parm")["params"]) == 5
    for options in ((), ("--json",)):
        done = subprocess.run([PLATTERCTL, "--socket", daemon.control, *options, "param", "parm", "nothing"], capture_output=True,
                              text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (
            1, "", 'platterctl: error: parm has no parameter "nothing" that can be read\n')
    assert "cannot be set" in daemon.ctl("param", "parm", "small", "2", status=1)
    assert "no parameter" in daemon.ctl("param", "parm", "secret", "2", status=1)
    assert "no parameter" in daemon.ctl("param", "parm", "secret", status=1)
    assert "256" in daemon.ctl("param", "parm", "byte", "256", status=1)
    assert daemon.ctl("param", "parm", "byte") == "255\n"
    assert "no module named" in daemon.ctl("param", "nothing", status=1)


def test_every_unknown_symbol_is_named_in_one_message(daemon, directory):
    start, names = refused(daemon, build(directory, "user", importer(names=("one", "two", "three")))).strip().split("Unknown symbol ")
    assert start == "platterctl: error: user: "
    assert sorted(names.split(", ")) == ["one (err -2)", "three (err -2)", "two (err -2)"]
    source = "void platter_foo(void); void nobody_has_this(void);\nint both(void) { platter_foo(); nobody_has_this(); return 0; }\n"
    said = refused(daemon, build(directory, "user", source + hello("user")))
    assert "user: Unknown symbol" in said and "platter_foo (err -2)" in said and "nobody_has_this (err -2)" in said
    # Another module's and the daemon's.
    both = importer(names=("one",)).replace("twice is %d", "%d", 1) + "void platter_foo(void); void foo(void) { platter_foo(); }\n"
    assert "user: Unknown symbol one (err -2), platter_foo (err -2)\n" in refused(daemon, build(directory, "user", both))
    assert "warning: user: Unknown symbol one (err -2), platter_foo (err -2)\n" in daemon.log() and "hello" not in daemon.log()


def test_however_many_symbols_are_unknown_all_are_named(daemon, directory):
    """40 imports and 100 of the daemon's: in one message to whoever asked, in several lines of the log."""
    imports = [f"an_import_of_another_module_{i}" for i in range(40)]
    others = [f"platter_function_of_the_daemon_{i}" for i in range(100)]
    calls = "".join(f"void {name}(void); void call_{name}(void) {{ {name}(); }}\n" for name in others)
    path = build(directory, "user", importer(names=imports) + calls)
    with ControlClient(daemon) as client:
        answer = client.error("module.insmod", file=path)
    assert answer["code"] == "ENOENT"
    start, names = answer["message"].split(" Unknown symbol ")
    assert start == "user:" and sorted(names.split(", ")) == sorted(f"{name} (err -2)" for name in imports + others)
    assert refused(daemon, path) == f"platterctl: error: {answer['message']}\n"
    lines = [line.split("Unknown symbol ")[1] for line in daemon.log().splitlines() if "user: Unknown symbol" in line]
    half = len(lines) // 2
    assert half > 1 and ", ".join(lines[:half]) == names == ", ".join(lines[half:])
    # The same from modprobe, of a module that another one needs.
    os.mkdir(os.path.join(directory, "modules"))
    build(os.path.join(directory, "modules"), "lib", exporter() + calls)
    build(os.path.join(directory, "modules"), "user", importer())
    subprocess.run([PLATTERCTL, "depmod", os.path.join(directory, "modules")], check=True, timeout=60)
    said = daemon.ctl("modprobe", "user", status=1)
    assert said.startswith("platterctl: error: lib: Unknown symbol ") and said.count("(err -2)") == 100 and len(said.splitlines()) == 1


def test_importing_is_a_use(daemon, directory):
    daemon.ctl("insmod", build(directory, "lib", exporter()))
    daemon.ctl("insmod", build(directory, "user", importer()))
    assert "twice is 42" in daemon.log()
    # The newest first, as lsmod does.
    lines = [line.split() for line in daemon.ctl("lsmod").splitlines()[1:]]
    assert [line[:1] + line[2:] for line in lines] == [["user", "0"], ["lib", "1", "user"]]
    assert [one["name"] for one in daemon.ctl_json("lsmod")["modules"]] == ["user", "lib"]
    assert "lib is in use by: user" in daemon.ctl("rmmod", "lib", status=1)
    assert "twice\t[lib]" in daemon.ctl("symbols") and "T platter_fail\n" in daemon.ctl("symbols")
    daemon.ctl("rmmod", "user", "lib")
    assert loaded(daemon) == [] and "[lib]" not in daemon.ctl("symbols")


def test_other_versions_licenses_and_second_exporters_are_refused(daemon, directory):
    daemon.ctl("insmod", build(directory, "lib", exporter(gpl="_GPL")))
    said = refused(daemon, build(directory, "user", importer(version="2")))
    assert "version 2 of the symbol twice" in said and "version 1" in said
    assert "GPL-compatible modules only" in refused(daemon, build(directory, "user", importer(license="Proprietary")))
    assert "exports the symbol twice, which lib exports already" in refused(daemon, build(directory, "other", exporter("other")))
    daemon.ctl("insmod", build(directory, "user", importer(license="Dual BSD/GPL")))


def test_a_license_that_is_not_free_taints(daemon, directory):
    daemon.ctl("insmod", build(directory, "dark", module("dark", "Proprietary")))
    assert daemon.ctl("lsmod").splitlines()[1].endswith("(P)") and "taints" in daemon.log()


def test_an_init_that_fails_leaves_nothing(daemon, directory):
    said = refused(daemon, build(directory, "mem", driver(init='platter_register_blkdev(77, "extra"); return -EXDEV;')))
    assert "mem: its init failed: Invalid cross-device link" in said
    assert "forgot to unregister its driver mem" in daemon.log() and "block device extra" in daemon.log()
    assert daemon.ctl("devices") == "Block devices:\n252 ram\n253 null\n254 file\n"
    assert "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)
    odd = "static int start(void) { return 5; }" + module("odd") + "PLATTER_INIT(start);"
    assert "odd: its init failed: not a negative errno" in refused(daemon, build(directory, "odd", odd))


def test_an_exit_that_forgets_its_driver_is_helped(daemon, directory):
    daemon.ctl("insmod", build(directory, "mem", driver(exit="")))
    daemon.ctl("export", "add", "m=mem:1M")
    daemon.ctl("rmmod", "mem")
    assert "forgot to unregister its driver mem" in daemon.log()
    assert "mem" not in daemon.ctl("devices") and "m " not in daemon.ctl("lsblk")
    assert daemon.ctl("exports").count("\n") == 2


def test_disks_of_a_module(daemon, directory):
    path = build(directory, "mem", driver())
    assert "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)
    daemon.ctl("insmod", path)
    assert daemon.ctl("devices") == "Block devices:\n251 mem\n252 ram\n253 null\n254 file\n"
    daemon.ctl("export", "add", "m=mem:1M", "n=mem:2M", "ro=disk:m,readonly")
    wire = Wire(daemon).go(b"ro")
    assert wire.read(0, 512) == bytes(512)
    assert daemon.ctl_json("lsmod")["modules"][0]["disk_users"] == 1
    assert daemon.ctl("lsmod").splitlines()[1].split()[2] == "1"
    # Nothing has changed when it is refused: neither n, which nobody uses, nor m.
    assert "m is in use by 1" in daemon.ctl("rmmod", "mem", status=1)
    assert [one["name"] for one in daemon.ctl_json("exports")["exports"]] == ["a", "m", "n", "ro"]
    with Wire(daemon).go(b"n") as other:
        assert other.write(0, b"x" * 512) == 0 and other.read(0, 512) == b"x" * 512
        other.disconnect()
    wire.disconnect()
    daemon.ctl("rmmod", "--drain=60", "mem")
    assert [one["name"] for one in daemon.ctl_json("exports")["exports"]] == ["a"] and loaded(daemon) == []
    assert not mapped(daemon, "mem.so") and "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)


def test_a_driver_s_name_or_major_that_is_taken_is_refused(daemon, directory):
    assert "Device or resource busy" in refused(daemon, build(directory, "ram", driver("ram")))
    source = ('static int start(void) { int result = platter_register_blkdev(300, "mine"); '
              'if (result) return result; return platter_register_blkdev(300, "other"); }'
              'static void end(void) { platter_unregister_blkdev(300, "mine"); }')
    assert "Device or resource busy" in refused(daemon, build(directory, "majors", source + module("majors") + "PLATTER_INIT(start); PLATTER_EXIT(end);"))
    assert "mine" not in daemon.ctl("devices")


@pytest.mark.parametrize("spoil, said", [
    (lambda path: os.chmod(path, 0o666), "others than its owner may write it"), (lambda path: os.truncate(path, 0), "is empty"),
    (lambda path: os.truncate(path, 100), "not a Platter module"), (os.unlink, "No such file"),
])
def test_files_that_are_not_to_be_trusted_are_refused(daemon, directory, spoil, said):
    path = build(directory, "hello", hello())
    spoil(path)
    assert said in refused(daemon, path) and "warning: hello" not in daemon.log()


def test_what_cannot_be_unloaded_is_not_loaded(daemon, directory):
    for flags, said in ((("-Wl,-z,nodelete",), "NODELETE"), (("-Wl,-z,execstack",), "stack")):
        assert said in refused(daemon, build(directory, "hello", hello(), *flags))
    assert not mapped(daemon, "hello.so")


def test_a_file_must_be_called_like_its_module(daemon, directory):
    assert "the file's name must be the module's, hello.so" in refused(daemon, build(directory, "other", hello()))
    assert "regular file" in refused(daemon, directory)


def test_a_relative_file_is_meant_from_where_platterctl_runs(daemon, directory):
    build(directory, "hello", hello())
    subprocess.run([os.path.abspath(PLATTERCTL), "--socket", daemon.control, "insmod", "hello.so"], cwd=directory, check=True, timeout=60)
    with ControlClient(daemon) as client:
        assert client.error("module.insmod", file="hello.so")["code"] == "EINVAL"
        assert client.error("module.insmod", file="/x", args=[1])["code"] == "EINVAL"
        assert client.error("module.insmod", file="/x", args={})["code"] == "EINVAL"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_only_the_server_s_user_may_load(directory):
    os.chmod(directory, 0o755)
    with Daemon(directory, "a=ram:1M", options=["--control", f"{directory}/open.sock,mode=0666"]) as daemon:
        path = build(directory, "hello", hello())
        done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", os.path.abspath(PLATTERCTL), "--socket",
                               f"{directory}/open.sock", "insmod", path], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "root and the server's own user" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_those_who_may_only_look_see_no_addresses_nor_what_is_the_owner_s(directory):
    os.chmod(directory, 0o755)
    source = "".join(f'static int {name} = 1; PLATTER_PARAM({name}, int, {mode}, "x");\n'
                     for name, mode in (("all", "0444"), ("mine", "0400"), ("ours", "0440"), ("set", "0644"), ("mine_to_set", "0600"), ("hidden", "0")))
    with Daemon(directory, "a=ram:1M", options=["--control", f"{directory}/open.sock,mode=0666"]) as daemon:
        daemon.control = f"{directory}/open.sock"
        daemon.ctl("insmod", build(directory, "parm", source + exporter("parm")))

        def look(*arguments, status=0):
            done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", os.path.abspath(PLATTERCTL), "--socket", daemon.control,
                                   *arguments], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == status, done
            return done.stderr if status else done.stdout

        mine, theirs = ([line.split(maxsplit=1) for line in text.splitlines()] for text in (daemon.ctl("symbols"), look("symbols")))
        assert [name for _, name in mine] == [name for _, name in theirs] and "T twice\t[parm]" in [name for _, name in mine]
        assert all(int(address, 16) != 0 for address, _ in mine) and {address for address, _ in theirs} == {"0" * 16}

        assert sorted(daemon.ctl("param", "parm").splitlines()) == ["all=1", "mine=1", "mine_to_set=1", "ours=1", "set=1"]
        assert sorted(look("param", "parm").splitlines()) == ["all=1", "set=1"]
        assert 'no parameter "mine"' in look("param", "parm", "mine", status=1)
        assert "root and the server's own user" in look("param", "parm", "set", "2", status=1)
        assert daemon.ctl("param", "parm", "set") == "1\n"


def test_a_thousand_times_loading_using_and_unloading_takes_no_more_memory(directory):
    path = build(directory, "mem", driver())
    # With an arena for each thread it would depend on which of them serves an administrator.
    with Daemon(directory, "a=ram:1M", environment={"MALLOC_ARENA_MAX": "1"}) as daemon:
        def cycles(count):
            with ControlClient(daemon) as client:
                for _ in range(count):
                    client.result("module.insmod", file=path)
                    client.result("export.add", spec="m=mem:64K")
                    with Wire(daemon).go(b"m") as wire:
                        assert wire.write(0, b"x" * 4096) == 0 and wire.read(0, 4096) == b"x" * 4096
                        wire.disconnect()
                    client.result("module.rmmod", name="mem", drain=60)

        # It grows until the log's ring, of 4096 records, is full: seven are added each time.
        cycles(1000)
        memory, descriptors = [daemon.memory()], daemon.descriptors()
        for _ in range(10):
            cycles(100)
            memory.append(daemon.memory())
        # Another thread, or another buffer, may be needed once; what is lost each time, 100 bytes or more, shows in most hundreds.
        grown = [after - before for before, after in zip(memory, memory[1:])]
        assert SANITIZED or (sorted(grown)[5] <= 0 and sum(grown) < 256 << 10), grown
        wait_for(lambda: daemon.descriptors() <= descriptors, "descriptors are closed")


def test_what_a_thread_of_a_module_registers_is_the_module_s(daemon, directory):
    source = driver(exit="platter_unregister_driver(&driver);").replace(
        "static int start(void) { int result = platter_register_driver(&driver); if (result < 0) return result;",
        "static void *later(void *none) { platter_register_driver(&driver); return none; }\n"
        "static int start(void) { pthread_t t; if (pthread_create(&t, NULL, later, NULL)) return -EAGAIN; pthread_join(t, NULL);")
    daemon.ctl("insmod", build(directory, "mem", "#include <pthread.h>\n" + source))
    daemon.ctl("export", "add", "m=mem:1M")
    with Wire(daemon).go(b"m") as wire:
        assert "m is in use by 1" in daemon.ctl("rmmod", "mem", status=1)
        wire.disconnect()
    daemon.ctl("rmmod", "--drain", "mem")
    assert "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)


def test_a_constructor_s_driver_goes_with_a_load_that_fails(daemon, directory):
    source = driver(exit="").replace("static int start(void) { int result = platter_register_driver(&driver); if (result < 0) return result;",
                                     "__attribute__((constructor)) static void early(void) { platter_register_driver(&driver); }\n"
                                     "static int start(void) {")
    path = build(directory, "mem", source)
    assert "unknown parameter" in refused(daemon, path, "nothing=1")
    assert "unknown driver" in daemon.ctl("export", "add", "m=mem:1M", status=1)
    daemon.ctl("insmod", path)
    daemon.ctl("export", "add", "m=mem:1M")


def test_a_driver_is_found_only_when_its_module_is_up(daemon, directory):
    source = "#include <time.h>\n" + driver(init="{ struct timespec t = { 3 }; nanosleep(&t, NULL); } return -EIO;")
    path = build(directory, "mem", source)
    with subprocess.Popen([PLATTERCTL, "--socket", daemon.control, "insmod", path], stderr=subprocess.DEVNULL) as loader:
        wait_for(lambda: "mem" in loaded(daemon) or loader.poll() is not None, "it is being loaded")
        assert daemon.ctl("lsmod").splitlines()[1].endswith(" Loading")
        while loader.poll() is None:
            daemon.ctl("export", "add", "m=mem:1M", status=1)
        assert loader.returncode == 1
    assert loaded(daemon) == [] and "mem" not in daemon.ctl("devices")


@pytest.mark.parametrize("content", [b"", b"\xf4" * 65536], ids=["cut", "overwritten"])
def test_a_loaded_module_does_not_need_its_file(daemon, directory, content):
    path = build(directory, "mem", driver(exit='platter_unregister_driver(&driver); platter_log(PLATTER_LOG_WARNING, "mem: goodbye");'))
    daemon.ctl("insmod", path)
    daemon.ctl("export", "add", "m=mem:1M")
    with open(path, "wb") as file:  # as cp does
        file.write(content)
    # Code of which nothing has run before, too.
    daemon.ctl("export", "add", "n=mem:1M")
    for name in (b"m", b"n"):
        with Wire(daemon).go(name) as wire:
            assert wire.write(4096, name * 512) == 0 and wire.read(4096, 512) == name * 512
            wire.disconnect()
    assert mapped(daemon, "/memfd:mem.so")
    daemon.ctl("rmmod", "--drain", "mem")
    assert "mem: goodbye" in daemon.log() and not mapped(daemon, "mem.so")
    build(directory, "mem", driver(init='platter_log(PLATTER_LOG_WARNING, "mem: built anew");'))
    daemon.ctl("insmod", path)
    assert "mem: built anew" in daemon.log()


def test_what_was_checked_cannot_be_changed(daemon, directory):
    daemon.ctl("insmod", build(directory, "hello", hello()))
    copies = [f"/proc/{daemon.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{daemon.pid}/fd")]
    copy, = (path for path in copies if os.readlink(path).startswith("/memfd:hello.so"))
    with open(copy, "r+b", buffering=0) as file:
        for change in (lambda: file.write(b"x"), lambda: file.truncate(0), lambda: file.truncate(1 << 20)):
            with pytest.raises(PermissionError):
                change()
    daemon.ctl("rmmod", "hello")
    assert not any(os.path.lexists(path) and "hello.so" in os.readlink(path) for path in copies)


STICKY = """
    extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
    extern void *__dso_handle __attribute__((visibility("hidden")));
    static void bye(void *none) { }
    static void sticky(void) { __cxa_thread_atexit_impl(bye, NULL, &__dso_handle); }
    struct mem {"""


def test_one_that_stays_mapped_is_not_taken_for_the_next(daemon, directory):
    source = driver().replace("struct mem {", STICKY, 1).replace("geometry->bytes = mem->size;", "geometry->bytes = mem->size; sticky();")
    daemon.ctl("insmod", build(directory, "mem", source))
    daemon.ctl("export", "add", "m=mem:1M")
    with Wire(daemon).go(b"m") as wire:
        wire.disconnect()
    daemon.ctl("rmmod", "--drain", "mem")
    for i in range(3):
        daemon.ctl("insmod", build(directory, "hello", hello(text=f"number {i}")))
        assert f"number {i}\n" in daemon.log()
        daemon.ctl("rmmod", "hello")
    assert "unknown driver" in daemon.ctl("export", "add", "z=mem:1M", status=1)


def test_draining_lets_nobody_into_any_of_its_disks(daemon, directory):
    daemon.ctl("insmod", build(directory, "mem", driver()))
    daemon.ctl("export", "add", "m=mem:1M", "n=mem:1M")
    wire = Wire(daemon).go(b"m")
    with ControlClient(daemon) as client:
        client.send('{"id":1,"method":"module.rmmod","params":{"name":"mem","drain":600}}\n')

        def refused_both():
            for name in (b"m", b"n"):
                with Wire(daemon) as newcomer:
                    newcomer.flags()
                    if newcomer.option(OPT_GO, go_data(name))[-1][0] == REP_ACK:
                        return False
            return True

        wait_for(refused_both, "nobody gets in")
        wire.disconnect()
        assert client.receive()["result"] == {}
