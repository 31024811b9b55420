"""What student code may try, and how it fails: with the very error that says why, or with what it may have."""

from __future__ import annotations

import os
import platform
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.grading.sandbox import Bubblewrap, Said, seccomp_filter
from labkit.grading.sandbox.mounts import environment
from tests.integration.grading.conftest import Outcome, Sandbox

Attack = Callable[..., Outcome]

HOME = str(Path.home())
CHECKOUT = str(Path(labkit.__file__).parents[1])
MACHINE = seccomp_filter.MACHINES.get(platform.machine(), seccomp_filter.MACHINES["x86_64"])
CALLS = MACHINE.calls

GONE = {"ENOENT"}
READ_ONLY = {"EROFS", "EACCES", "EPERM", "EBUSY"}
CLOSED = {"EACCES", "EPERM", "ENOENT"}

READING = {
    "shadow": ("open('/etc/shadow').read()", GONE),
    "passwd-": ("open('/etc/passwd-').read()", GONE),
    "shell-history": (f"open({HOME + '/.bash_history'!r}).read()", GONE),
    "ssh-keys": (f"os.listdir({HOME + '/.ssh'!r})", GONE),
    "environment-file": (f"open({CHECKOUT + '/.env'!r}).read()", GONE),
    "these-tests": (f"open({__file__!r}).read()", GONE),
    "git": (f"os.listdir({CHECKOUT + '/.git'!r})", GONE),
    "notebooks": (f"os.listdir({CHECKOUT + '/notebooks'!r})", GONE),
    "grader": (f"open({seccomp_filter.__file__!r}).read()", GONE),
    "path-upwards": ("open('/tmp/../../../../../etc/shadow').read()", GONE),
    "logs": ("os.listdir('/var/log')", GONE),
    "sockets-of-services": ("os.listdir('/run/dbus')", GONE),
    "sys": ("os.listdir('/sys')", GONE | {"EACCES"}),
    "boot": ("os.listdir('/boot')", GONE),
    "first-process-s-root": ("open('/proc/1/root/etc/shadow').read()", CLOSED),
    "first-process-s-memory": ("open('/proc/1/mem', 'rb').read(1)", CLOSED | {"EIO"}),
    "kernel-s-memory": ("open('/proc/kcore', 'rb').read(1)", CLOSED),
    "kernel-s-log": ("open('/proc/kmsg').read(1)", CLOSED),
    "memory-device": ("open('/dev/mem', 'rb')", GONE),
    "log-device": ("open('/dev/kmsg')", GONE),
    "disk": ("open('/dev/vda', 'rb')", GONE),
    "fuse": ("open('/dev/fuse', 'rb')", GONE),
    "kvm": ("open('/dev/kvm', 'rb')", GONE),
    "terminal": ("open('/dev/tty')", {"ENXIO"}),
}
WRITING = {
    "root": ("os.mkdir('/new')", READ_ONLY),
    "system": ("open('/usr/new', 'w')", READ_ONLY),
    "program": ("open('/usr/bin/env', 'r+b')", READ_ONLY),
    "its-own-python": ("open('/proc/self/exe', 'r+b')", READ_ONLY | {"ETXTBSY"}),
    "packages": (f"open({sys.prefix + '/new.pth'!r}, 'w')", READ_ONLY),
    "labkit": (f"open({labkit.__file__!r}, 'a')", READ_ONLY),
    "where-the-grader-was": (f"open({CHECKOUT + '/labkit/grading/new.py'!r}, 'w')", READ_ONLY | GONE),
    "grader-s-programs": ("open('/run/labkit/launch_program.py', 'a')", READ_ONLY),
    "users": ("open('/etc/passwd', 'a')", READ_ONLY),
    "users-replaced": ("os.replace('/etc/passwd', '/etc/group')", READ_ONLY),
    "users-removed": ("os.unlink('/etc/passwd')", READ_ONLY),
    "preload": ("open('/etc/ld.so.preload', 'w')", READ_ONLY),
    "linker-s-cache": ("open('/etc/ld.so.cache', 'r+b')", READ_ONLY),
    "devices": ("open('/dev/new', 'w')", READ_ONLY),
    "hostname": ("os.open('/proc/sys/kernel/hostname', os.O_WRONLY)", READ_ONLY),
    "core-pattern": ("os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)", READ_ONLY),
    "sysrq": ("os.open('/proc/sysrq-trigger', os.O_WRONLY)", READ_ONLY | {"ENOENT"}),
    "user-map": ("write('/proc/self/uid_map', '0 0 1')", READ_ONLY),
    "oom-score": ("write('/proc/self/oom_score_adj', '-1000')", READ_ONLY),
    "link-to-a-system-file": ("os.link('/etc/localtime', '/tmp/link')", READ_ONLY | {"EXDEV"}),
    "times-of-a-system-file": ("os.utime('/usr/bin/env')", READ_ONLY),
    "mode-of-a-device": ("os.chmod('/dev/null', 0o666)", READ_ONLY),
    "device-made": ("os.mknod('/tmp/disk', 0o60600, os.makedev(254, 0))", {"EPERM"}),
}
RIGHTS = {
    "become-root": ("os.setresuid(0, 0, 0)", {"EPERM", "EINVAL"}),
    "other-groups": ("os.setgroups([0])", {"EPERM", "EINVAL"}),
    "chroot": ("os.chroot('/tmp')", {"EPERM"}),
    "priority": ("os.setpriority(os.PRIO_PROCESS, 0, -20)", {"EACCES", "EPERM"}),
    "real-time": ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", {"EPERM"}),
    "hostname-called": ("socket.sethostname('x')", {"EPERM"}),
    "clock": ("__import__('time').clock_settime(0, 0)", {"EPERM"}),
    "signal-to-the-host": (f"os.kill({os.getpid()}, 0)", {"ESRCH"}),
    "namespace-of-the-first": ("syscall(CALLS['setns'], os.open('/proc/self/ns/net', 0), 0)", {"EPERM"}),
    "user-namespace": ("syscall(CALLS['unshare'], 0x10000000)", {"EPERM"}),
    "mount-namespace": ("syscall(CALLS['unshare'], 0x00020000)", {"EPERM"}),
    "clone-into-a-user-namespace": ("syscall(CALLS['clone'], 0x10000000 | 17, 0, 0, 0, 0)", {"EPERM"}),
    "clone-into-a-network": ("syscall(CALLS['clone'], 0x40000000 | 17, 0, 0, 0, 0)", {"EPERM"}),
    "trace-me": ("syscall(CALLS['ptrace'], 0, 0, 0, 0)", {"EPERM"}),
    "trace-the-parent": ("syscall(CALLS['ptrace'], 16, os.getppid(), 0, 0)", {"EPERM"}),
    "mount-tmpfs": (
        "libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) and syscall(CALLS['mount'], 0, 0, 0, 0, 0)",
        {"EPERM"},
    ),
    "session-keyring": ("syscall(CALLS['keyctl'], 0, -3, 0)", {"EPERM"}),
    "typed-into-a-terminal": ("(__import__('fcntl').ioctl(os.openpty()[1], 0x5412, b'x'))", {"EPERM"}),
    "terminal-of-linux": ("(__import__('fcntl').ioctl(os.openpty()[1], 0x541C, b'x'))", {"EPERM"}),
    "typed-with-high-bits": ("syscall(CALLS['ioctl'], os.openpty()[1], 0x5412 | 1 << 40, b'x')", {"EPERM"}),
}
SOCKETS = {
    "netlink": ("socket.socket(16, socket.SOCK_RAW)", {"EAFNOSUPPORT"}),
    "packet": ("socket.socket(17, socket.SOCK_RAW)", {"EAFNOSUPPORT"}),
    "vsock": ("socket.socket(40)", {"EAFNOSUPPORT"}),
    "alg": ("socket.socket(38, 5)", {"EAFNOSUPPORT"}),
    "bluetooth": ("socket.socket(31, 3, 1)", {"EAFNOSUPPORT"}),
    "can": ("socket.socket(29, 3, 1)", {"EAFNOSUPPORT"}),
    "tipc": ("socket.socket(30, 5)", {"EAFNOSUPPORT"}),
    "xdp": ("socket.socket(44, 3)", {"EAFNOSUPPORT"}),
    "raw": ("socket.socket(2, 3, 1)", {"EPERM"}),
    "sctp": ("socket.socket(2, 1, 132)", {"EPROTONOSUPPORT"}),
    "pair-of-netlink": ("socket.socketpair(16, 3)", {"EAFNOSUPPORT"}),
    "internet": ("socket.create_connection(('192.0.2.1', 443), 5)", {"ENETUNREACH"}),
    "internet-by-udp": ("socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53))", {"ENETUNREACH"}),
    "internet-by-ipv6": ("socket.create_connection(('2001:db8::1', 443), 5)", {"ENETUNREACH", "EADDRNOTAVAIL"}),
    "metadata-of-a-cloud": ("socket.create_connection(('169.254.169.254', 80), 5)", {"ENETUNREACH"}),
}


def table(*cases: dict[str, tuple[str, set[str]]]) -> list[object]:
    return [pytest.param(*case, id=name) for group in cases for name, case in group.items()]


@pytest.mark.parametrize(("expression", "errors"), table(READING, WRITING, RIGHTS, SOCKETS))
def test_it_is_refused(attack: Attack, expression: str, errors: set[str]) -> None:
    how, what = attack(f"result = {expression}", CALLS=CALLS)
    assert how == "refused", (how, what)
    assert what in errors


@pytest.mark.parametrize("name", sorted(CALLS.keys() - set(seccomp_filter.LOOKED_INTO)))
def test_no_call_of_the_list_is_made(attack: Attack, name: str) -> None:
    error = "ENOSYS" if name in seccomp_filter.NOT_THERE else "EPERM"
    assert attack("result = syscall(number, 0, 0, 0, 0, 0)", number=CALLS[name]) == ("refused", error)


if platform.machine() == "x86_64":

    def test_calls_by_the_numbers_of_another_machine_end_the_process(attack: Attack) -> None:
        """As a program of 32 bits: `mov eax, 20; int 0x80; ret`, which is `getpid` there."""
        code = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
        assert attack(code) == ("killed", "SIGSYS")

    def test_calls_by_the_numbers_of_x32_are_not_there(attack: Attack) -> None:
        assert attack("result = syscall(0x40000000 | 39)") == ("refused", "ENOSYS")


def test_only_three_families_of_sockets_are_there(attack: Attack) -> None:
    code = """
result = []
for family in range(64):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind).close()
            result.append(family)
        except OSError:
            pass
"""
    how, families = attack(code)
    assert how == "got"
    assert {1, 2} <= set(families) <= {1, 2, 10}


def test_a_server_of_the_host_is_not_reached(attack: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert attack("result = socket.create_connection(('127.0.0.1', port), 5)", port=port) == (
            "refused",
            "ECONNREFUSED",
        )


def test_no_unix_socket_of_the_host_is_reached(attack: Attack, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(str(tmp_path / "s"))
        server.listen()
        abstract.bind(f"\0labkit-{os.getpid()}")
        abstract.listen()
        connect = "result = socket.socket(1).connect(name)"
        assert attack(connect, name=str(tmp_path / "s")) == ("refused", "ENOENT")
        assert attack(connect, name=f"\0labkit-{os.getpid()}") == ("refused", "ECONNREFUSED")


def test_a_file_of_the_host_is_not_there_by_a_link_either(attack: Attack, tmp_path: Path) -> None:
    expected = tmp_path / "expected.json"
    expected.write_text("{}")
    assert attack("result = open(path).read()", path=str(expected)) == ("refused", "ENOENT")
    linked = "os.symlink(path, '/tmp/link'); result = open('/tmp/link').read()"
    assert attack(linked, path=str(expected)) == ("refused", "ENOENT")


def test_the_grader_cannot_be_imported_and_labkit_can(attack: Attack) -> None:
    assert attack("import labkit.grading.sandbox; result = 1") == ("raised", "ModuleNotFoundError")
    assert attack("import labkit.process.pipe_end; result = labkit.__file__") == ("got", labkit.__file__)
    found = "import labkit, glob; result = glob.glob(labkit.__path__[0] + '/grading/**', recursive=True)[1:]"
    assert attack(found) == ("got", [])


def test_nothing_of_the_host_s_environment_is_there(attack: Attack) -> None:
    names = {*environment(), "PWD", "LC_CTYPE"}
    how, found = attack("result = sorted(os.environ)")
    assert how == "got"
    assert set(found) <= names
    how, found = attack(
        """
result = ""
for name in filter(str.isdecimal, os.listdir("/proc")):
    try:
        result += open(f"/proc/{name}/environ").read()
    except OSError:
        pass
"""
    )
    assert how == "got"
    assert {line.partition("=")[0] for line in filter(None, found.split("\0"))} <= names


def test_no_process_of_the_host_is_seen(attack: Attack) -> None:
    how, found = attack("result = [open(f'/proc/{n}/cmdline').read() for n in os.listdir('/proc') if n.isdecimal()]")
    assert how == "got"
    assert len(found) == 3  # the first, the one that takes the attacks, and this one
    assert not any("pytest" in line for line in found)


def test_it_has_no_rights_and_gets_none(attack: Attack) -> None:
    how, status = attack("result = dict(line.rstrip().partition(':\\t')[::2] for line in open('/proc/self/status'))")
    assert how == "got"
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")] == [0, 0, 0]
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split() + status["Gid"].split()


def test_it_is_not_root_outside_either(sandbox: Sandbox) -> None:
    code = "import os; os.write(65, b'1\\n'); os.read(64, 1)"
    command = [sys.executable, "-I", "-c", code]
    with sandbox.start(command) as conversation:
        conversation.receive(60)
        (own,) = [one for one in psutil.process_iter() if _words(one) == command]
        assert 0 not in own.uids() + own.gids()
        if os.getuid() and isinstance(sandbox, Bubblewrap):
            assert set(own.uids()) == {os.getuid()}


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_programs_that_become_root_do_not(attack: Attack) -> None:
    """The linker of the C library shows the effective user, unless the program gets the rights of another one."""
    programs = [str(file) for file in Path("/usr/bin").iterdir() if file.stat().st_mode & stat.S_ISUID]
    code = """
import subprocess
asked = {"LD_SHOW_AUXV": "1", "LD_TRACE_LOADED_OBJECTS": "1"}
said = [subprocess.run([one], env=asked, stdout=subprocess.PIPE, text=True).stdout for one in programs]
result = [line.split()[1] for one in said for line in one.splitlines() if line.startswith("AT_EUID")]
result = [len(result), {*result} == {str(os.getuid())}]
"""
    assert attack(code, programs=programs) == ("got", [len(programs), True])


def test_it_holds_no_descriptor_but_its_own(attack: Attack) -> None:
    code = """
result = []
for name in range(4096):
    try:
        result.append(os.readlink(f"/proc/self/fd/{name}").partition(":")[0])
    except OSError:
        pass
"""
    how, what = attack(code)
    assert how == "got"
    assert set(what) == {"/dev/null", "pipe"}


def test_signals_to_all_and_to_the_first_reach_nobody_outside(sandbox: Sandbox) -> None:
    code = """
import os, signal
first = open("/proc/1/cmdline", "rb").read()
assert b"bwrap" in first or b"container_program" in first  # else it would end the machine
for number in (signal.SIGTERM, signal.SIGKILL):
    for target in (1, os.getppid(), -1):
        try:
            os.kill(target, number)
        except OSError:
            pass
os.write(65, b'"alive"\\n')
"""
    with sandbox.start([sys.executable, "-I", "-c", code]) as conversation:
        assert conversation.receive(60).value == "alive"
        assert conversation.wait(60).status == 0


def test_others_than_root_have_a_user_namespace(monkeypatch: pytest.MonkeyPatch, bubblewrap: Bubblewrap) -> None:
    """Root plays another one here; the student has no rights in it, and no second one can be made."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code = """
import ctypes, json, os
status = dict(line.rstrip().partition(":\\t")[::2] for line in open("/proc/self/status"))
mapped = open("/proc/self/uid_map").read().split()
made = ctypes.CDLL(None).unshare(0x10000000)
seen = [os.getuid(), status["CapEff"], status["CapBnd"], mapped[0], mapped[2], made]
os.write(65, json.dumps(seen).encode() + b"\\n")
"""
    with bubblewrap.start([sys.executable, "-I", "-c", code]) as conversation:
        none = "0" * 16
        assert conversation.receive(60) == Said([20_000, none, none, "20000", "1", -1])
