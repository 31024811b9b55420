"""Which system calls a command in the sandbox may make: a program for the kernel's filter (seccomp(2), mode 2).

The program is classic BPF over `struct seccomp_data` (linux/seccomp.h: number, architecture, instruction pointer, six
arguments of 64 bits); instructions and constants are those of linux/bpf_common.h and linux/filter.h, numbers of calls
those of arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux. What is refused follows
Docker's default profile, and goes beyond it: no nested namespaces, whatever the kernel would allow.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

# linux/bpf_common.h: load a word, compare, and answer
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06

# linux/seccomp.h
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

# where in struct seccomp_data; both machines put the low half of an argument first
_NUMBER, _ARCHITECTURE = 0, 4

#: linux/sched.h: CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET
NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
#: asm-generic/ioctls.h: TIOCSTI and TIOCLINUX put words into a terminal as if they were typed
TERMINAL_INPUT = (0x5412, 0x541C)
#: linux/socket.h: AF_UNIX, and AF_INET and AF_INET6, which lead no further than the sandbox's own loopback
FAMILIES = (1, 2, 10)
#: linux/net.h: SOCK_STREAM, SOCK_DGRAM and SOCK_SEQPACKET; the flags above them are cut off
SOCKET_TYPES, _TYPE_MASK = (1, 2, 5), 0xF
#: linux/in.h: the usual one, IPPROTO_TCP and IPPROTO_UDP
PROTOCOLS = (0, 6, 17)
#: The x32 calls, another way to make those of x86-64 (asm/unistd.h, __X32_SYSCALL_BIT).
X32 = 0x40000000

#: Calls with one number on every machine (since Linux 5.1).
_SINCE_5_1 = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "statmount": 457, "listmount": 458,
    "open_tree_attr": 467,
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """How a kind of processor numbers what the filter looks at."""

    #: AUDIT_ARCH_… of linux/audit.h
    architecture: int
    #: calls by name, those that are refused and those whose arguments are looked at
    calls: dict[str, int]


MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        {
            "ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "ptrace": 101, "syslog": 103, "uselib": 134,
            "personality": 135, "ustat": 136, "sysfs": 139, "vhangup": 153, "modify_ldt": 154, "pivot_root": 155,
            "_sysctl": 156, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
            "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171,
            "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "nfsservctl": 180,
            "lookup_dcookie": 212, "clock_settime": 227, "kexec_load": 246, "add_key": 248, "request_key": 249,
            "keyctl": 250, "migrate_pages": 256, "unshare": 272, "move_pages": 279, "perf_event_open": 298,
            "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305,
            "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
            "seccomp": 317, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
        } | _SINCE_5_1,
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "lookup_dcookie": 18, "ioctl": 29, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42,
            "chroot": 51, "vhangup": 58, "quotactl": 60, "acct": 89, "personality": 92, "unshare": 97,
            "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116,
            "ptrace": 117, "reboot": 142, "sethostname": 161, "setdomainname": 162, "settimeofday": 170,
            "adjtimex": 171, "socket": 198, "socketpair": 199, "add_key": 217, "request_key": 218, "keyctl": 219,
            "clone": 220, "swapon": 224, "swapoff": 225, "migrate_pages": 238, "move_pages": 239,
            "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264, "open_by_handle_at": 265,
            "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
            "finit_module": 273, "seccomp": 277, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
        } | _SINCE_5_1,
    ),
}  # fmt: skip

#: Their arguments decide.
LOOKED_INTO = ("clone", "socket", "socketpair", "ioctl")
#: As if the kernel were too old for it: the arguments of `clone3` lie where no filter sees them, and glibc then takes
#: `clone`; what would use io_uring does without.
NOT_THERE = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")


def filter_program(machine: Machine) -> bytes:
    """The program, as `bwrap --seccomp` reads it: an array of `struct sock_filter`."""
    calls = machine.calls
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        *_answer_others((machine.architecture,), KILL),
        _instruction(_LOAD, _NUMBER),
        *_answer_if(_AT_LEAST, X32, errno.ENOSYS),
    ]
    for name, number in calls.items():
        if name not in LOOKED_INTO:
            program += _answer_if(_EQUAL, number, errno.ENOSYS if name in NOT_THERE else errno.EPERM)
    program += _for_call(calls["clone"], [_argument(0), *_answer_if(_ANY_BIT, NAMESPACES, errno.EPERM)])
    terminal = [step for request in TERMINAL_INPUT for step in _answer_if(_EQUAL, request, errno.EPERM)]
    program += _for_call(calls["ioctl"], [_argument(1), *terminal])
    for name in ("socket", "socketpair"):
        program += _for_call(calls[name], _socket_rules())
    return b"".join([*program, _instruction(_ANSWER, ALLOW)])


def _socket_rules() -> list[bytes]:
    return [
        _argument(0),
        *_answer_others(FAMILIES, ERRNO | errno.EAFNOSUPPORT),
        _argument(1),
        _instruction(_AND, _TYPE_MASK),
        *_answer_others(SOCKET_TYPES, ERRNO | errno.EPERM),
        _argument(2),
        *_answer_others(PROTOCOLS, ERRNO | errno.EPROTONOSUPPORT),
    ]


def _instruction(code: int, value: int, jump_if: int = 0, jump_else: int = 0) -> bytes:
    """`struct sock_filter`: a code, how many instructions to skip if it is so and if not, a constant."""
    return struct.pack("=HBBI", code, jump_if, jump_else, value)


def _argument(number: int) -> bytes:
    """Load the low half: of the arguments that are looked at, the kernel itself uses no more."""
    return _instruction(_LOAD, 16 + 8 * number)


def _answer_if(test: int, value: int, error: int) -> list[bytes]:
    return [_instruction(test, value, 0, 1), _instruction(_ANSWER, ERRNO | error)]


def _answer_others(values: tuple[int, ...], answer: int) -> list[bytes]:
    """Go on with one of these values; any other has this answer."""
    count = len(values)
    tests = [_instruction(_EQUAL, value, count - place) for place, value in enumerate(values)]
    return [*tests, _instruction(_ANSWER, answer)]


def _for_call(number: int, steps: list[bytes]) -> list[bytes]:
    """These steps are for this call only; it is allowed behind them, since they have loaded something else."""
    steps = [*steps, _instruction(_ANSWER, ALLOW)]
    return [_instruction(_EQUAL, number, 0, len(steps)), *steps]
