"""The filter of system calls: which a program may make, which are refused, and which end it.

libseccomp compiles it, so that names are right on every processor; the kernel gets its BPF. Three classes: what
programs that compute need is allowed; what none of them does is reported to the sandbox's first process, which ends the
run and names it; anything else does not exist (ENOSYS), which programs that try new calls are made for.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from dataclasses import dataclass
from functools import lru_cache

from airtune.engine.sandbox.limits import SandboxError

ALLOWED = """
accept accept4 access alarm arch_prctl bind brk capget chdir chmod chown clock_getres clock_gettime clock_nanosleep
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync
ftruncate futex futex_waitv get_mempolicy get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl ioprio_get kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lseek lstat madvise mbind membarrier
mincore mkdir mkdirat mlock mlock2 mmap mprotect mremap msync munlock munmap nanosleep newfstatat open openat
openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64
preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom
recvmmsg recvmsg rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield select sendfile sendmmsg sendmsg
sendto set_mempolicy set_robust_list set_tid_address setitimer setpgid setpriority setrlimit setsid setsockopt
shutdown sigaltstack socketpair splice stat statfs statx symlink symlinkat sync_file_range sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write
writev
""".split()

# No training program makes these: they look into or change other processes, the file system's tree, the machine, or
# who one is. Left out of both lists on purpose, and so refused without a word: io_uring (its work would pass the filter
# by), clone3 (its flags cannot be seen; the C library goes back to clone), memory that no limit counts (memfd_create,
# System V's shared memory).
ENDING = """
_sysctl acct add_key adjtimex bpf capset chroot clock_adjtime clock_settime delete_module fanotify_init finit_module
fsconfig fsmount fsopen fspick init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount
mount_setattr move_mount nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key setdomainname setfsgid setfsuid
setgid setgroups sethostname setns setregid setresgid setresuid setreuid setuid settimeofday stime swapoff swapon
syslog umount umount2 unshare userfaultfd vhangup
""".split()

FAMILIES = {2: "AF_INET", 10: "AF_INET6", 17: "AF_PACKET", 21: "AF_RDS", 29: "AF_CAN", 31: "AF_BLUETOOTH",
            38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP"}  # fmt: skip
_UNIX = 1
# clone's flags for new namespaces, linux/sched.h: time, mount, cgroup, UTS, IPC, user, PID, network.
_NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_FILE_TYPE, _CHARACTER, _BLOCK, _WORD = 0o170000, 0o020000, 0o060000, 0xFFFFFFFF

# seccomp.h of libseccomp, version 2.5 and later.
_ALLOW, _KILL, _NOTIFY, _NOT_THERE = 0x7FFF0000, 0x80000000, 0x7FC00000, 0x00050000 | 38
_MASKED_EQUAL, _OTHER_ARCHITECTURE, _OPTIMIZE, _BINARY_TREE = 7, 2, 8, 2
_OLDEST = (2, 5)
FIX = "install libseccomp 2.5 or later: apt-get install libseccomp2, or dnf install libseccomp"


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Filter:
    """The compiled filter.

    Attributes:
        bpf: The program, as the kernel takes it.
        names: Of the calls that are reported: number -> name.
        seccomp: The number of seccomp(2) itself, which has no function in the C library.
    """

    bpf: bytes
    names: dict[int, str]
    seccomp: int


def libseccomp() -> tuple[ctypes.CDLL, str]:
    """The library and its version.

    Raises:
        SandboxError: If it is not there, or too old.
    """
    try:
        found = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise SandboxError(
            "libseccomp is not installed", allowed="libseccomp 2.5 or later", hint=FIX
        ) from error
    found.seccomp_version.restype = ctypes.POINTER(_Version)
    has = found.seccomp_version().contents
    text = f"{has.major}.{has.minor}.{has.micro}"
    if (has.major, has.minor) < _OLDEST:
        raise SandboxError(f"libseccomp {text} is too old", value=text, allowed="2.5 or later", hint=FIX)
    found.seccomp_init.argtypes, found.seccomp_init.restype = (ctypes.c_uint32,), ctypes.c_void_p
    found.seccomp_release.argtypes, found.seccomp_release.restype = (ctypes.c_void_p,), None
    found.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    found.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    found.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison)
    )  # fmt: skip
    found.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return found, text


@lru_cache(maxsize=1)
def compiled() -> Filter:
    """The filter for this machine.

    Raises:
        SandboxError: If libseccomp is not there, or cannot make it.
    """
    library, version = libseccomp()
    context = library.seccomp_init(_NOT_THERE)
    names: dict[int, str] = {}

    def number(name: str) -> int:
        # Negative: this processor or this version of the library does not know it, so it is not allowed either.
        return int(library.seccomp_syscall_resolve_name(name.encode()))

    def rule(action: int, name: str, argument: int = 0, mask: int = 0, value: int = 0) -> None:
        if (call := number(name)) < 0:
            return
        compared = (_Comparison * 1)(_Comparison(argument, _MASKED_EQUAL, mask, value))
        done = library.seccomp_rule_add_array(context, action, call, 1 if mask else 0, compared)
        _check(done, f"rule for {name}", version)
        if action == _NOTIFY:
            names[call] = name

    try:
        _check(library.seccomp_attr_set(context, _OTHER_ARCHITECTURE, _KILL), "architecture", version)
        _check(library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE), "optimisation", version)
        for name in ALLOWED:
            rule(_ALLOW, name)
        for name in ENDING:
            rule(_NOTIFY, name)
        rule(_ALLOW, "socket", 0, _WORD, _UNIX)
        for family in FAMILIES:
            rule(_NOTIFY, "socket", 0, _WORD, family)
        rule(_ALLOW, "clone", 0, sum(_NAMESPACES[1:]), 0)
        for flag in _NAMESPACES[1:]:  # the first is a signal's bit in clone: only unshare and clone3 know it
            rule(_NOTIFY, "clone", 0, flag, flag)
        for name, mode in (("mknod", 1), ("mknodat", 2)):
            for kind in (0, 0o010000, 0o100000, 0o140000):  # plain files, FIFOs, Unix sockets
                rule(_ALLOW, name, mode, _FILE_TYPE, kind)
            for kind in (_CHARACTER, _BLOCK):
                rule(_NOTIFY, name, mode, _FILE_TYPE, kind)
        return Filter(_exported(library, context, version), names, number("seccomp"))
    finally:
        library.seccomp_release(context)


def _exported(library: ctypes.CDLL, context: int, version: str) -> bytes:
    fd = os.memfd_create("filter")
    try:
        _check(library.seccomp_export_bpf(context, fd), "export", version)
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _check(code: int, what: str, version: str) -> None:
    if code < 0:
        raise SandboxError(
            f"libseccomp {version} cannot make the filter ({what}): {os.strerror(-code)}",
            value=version,
            allowed="a libseccomp that can",
            hint=FIX,
        )
