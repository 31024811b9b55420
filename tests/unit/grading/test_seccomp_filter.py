"""The filter of system calls, run as the kernel would run it, for both machines."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from labkit.grading.sandbox import seccomp_filter
from labkit.grading.sandbox.seccomp_filter import ALLOW, ERRNO, KILL, LOOKED_INTO, MACHINES, NOT_THERE, filter_program

each_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
#: Where a system keeps what the kernel calls its calls.
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


def verdict(machine: seccomp_filter.Machine, call: int, *arguments: int, architecture: int | None = None) -> int:
    """What the program answers to a call: an interpreter of the few instructions of classic BPF that it uses."""
    program = list(struct.iter_unpack("=HBBI", filter_program(machine)))
    given = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", call, machine.architecture if architecture is None else architecture, 0, *given)
    loaded, at = 0, 0
    while True:
        code, jump_if, jump_else, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            loaded &= value
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: loaded & value != 0}[code]
            at += jump_if if holds else jump_else


@each_machine
def test_calls_of_the_list_are_refused_and_others_are_made(machine: seccomp_filter.Machine) -> None:
    for call in range(1024):
        names = [name for name, number in machine.calls.items() if number == call and name not in LOOKED_INTO]
        if names:
            assert verdict(machine, call) == ERRNO | (errno.ENOSYS if names[0] in NOT_THERE else errno.EPERM)
        elif call not in {machine.calls["socket"], machine.calls["socketpair"]}:
            assert verdict(machine, call) == ALLOW


@each_machine
def test_another_machine_s_calls_end_the_process(machine: seccomp_filter.Machine) -> None:
    assert verdict(machine, 0, architecture=0x40000003) == KILL


@each_machine
def test_calls_of_x32_are_not_there(machine: seccomp_filter.Machine) -> None:
    assert verdict(machine, 0x40000000) == verdict(machine, 0xFFFFFFFF) == ERRNO | errno.ENOSYS


@each_machine
@pytest.mark.parametrize("bit", range(32))
def test_clone_makes_no_namespace(machine: seccomp_filter.Machine, bit: int) -> None:
    makes = bit in (17, 25, 26, 27, 28, 29, 30)
    assert verdict(machine, machine.calls["clone"], 1 << bit | 17) == (ERRNO | errno.EPERM if makes else ALLOW)


@each_machine
@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_sockets_are_of_three_families_and_usual_protocols(machine: seccomp_filter.Machine, call: str) -> None:
    number = machine.calls[call]
    for family in range(64):
        expected = ALLOW if family in (1, 2, 10) else ERRNO | errno.EAFNOSUPPORT
        assert verdict(machine, number, family, 1 | 0o2000000) == expected
    for kind in range(16):
        assert verdict(machine, number, 2, kind) == (ALLOW if kind in (1, 2, 5) else ERRNO | errno.EPERM)
    for protocol in range(300):
        expected = ALLOW if protocol in (0, 6, 17) else ERRNO | errno.EPROTONOSUPPORT
        assert verdict(machine, number, 2, 1, protocol) == expected


@each_machine
def test_nothing_is_typed_into_a_terminal(machine: seccomp_filter.Machine) -> None:
    for request, expected in [(0x5412, ERRNO | errno.EPERM), (0x541C, ERRNO | errno.EPERM), (0x5401, ALLOW)]:
        assert verdict(machine, machine.calls["ioctl"], 0, request) == expected
        assert verdict(machine, machine.calls["ioctl"], 0, request | 1 << 40) == expected


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_those_of_the_kernel_s_headers(name: str) -> None:
    """As far as this system has them; where it has none, the numbers of the two machines still differ."""
    calls = MACHINES[name].calls
    assert len(set(calls.values())) == len(calls)
    header = next((Path(path) for path in HEADERS[name] if Path(path).exists()), None)
    text = header.read_text() if header else ""
    known = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", text, re.M))
    assert {call: number for call, number in calls.items() if int(known.get(call, number)) != number} == {}
