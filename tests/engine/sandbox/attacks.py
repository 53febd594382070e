"""Hostile programs. Each ends well, with a loss, where it could do what it came for; in the sandbox none may.

`PLACE` is a folder with secrets, `PID` the process of the tests; both are written into the programs, which know where
everything lies: nothing is hidden by not being told. Floods are small, and what they may use in the sandbox is smaller.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

# Of system calls that the C library has no function for.
NUMBERS = {
    "x86_64": {"clone": 56, "add_key": 248, "keyctl": 250, "process_vm_readv": 310, "pidfd_getfd": 438, "shmget": 29,
               "mq_open": 240, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "setns": 308},
    "aarch64": {"clone": 220, "add_key": 217, "keyctl": 219, "process_vm_readv": 270, "pidfd_getfd": 438, "shmget": 194,
                "mq_open": 180, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "setns": 268},
}.get(platform.machine(), {})  # fmt: skip

START = """
import ctypes, json, mmap, os, resource, signal, socket, stat, sys, threading, time
PLACE, PID, N = {place!r}, {pid}, {numbers!r}
SCRATCH = os.environ.get("TMPDIR", "/tmp")
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def call(name, *arguments):
    return done(libc.syscall(N[name], *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))
def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""
END = """
print(json.dumps({"loss": 0.0}))
"""


@dataclass(frozen=True)
class Attack:
    """A program, and what its failure in the sandbox is called: the kind, and a word of the reason."""

    name: str
    code: str
    kind: str = "crash"
    says: str = "FileNotFoundError"
    limits: dict[str, Any] = field(default_factory=dict)
    root: bool = False  # outside it needs root's rights

    def program(self, place: str, pid: int) -> str:
        return START.format(place=place, pid=pid, numbers=NUMBERS) + self.code + END


ONLY_READ = r"Read-only file system|Permission"
SMALL = {"memory_bytes": 256 << 20, "processes": 12, "scratch_bytes": 4 << 20, "scratch_files": 100}
FORBIDDEN = "forbidden system call"

READING = [
    Attack("a file of the home folder", "open(PLACE + '/home/secret.txt').read()"),
    Attack("the home folder's list", "os.listdir(PLACE + '/home')"),
    Attack("a private key", "open(PLACE + '/home/.ssh/id').read()"),
    Attack("keys beside the program", "open('.env').read()"),
    Attack("the study file", "open('airtune.sqlite', 'rb').read()"),
    Attack("the study file's log", "open('airtune.sqlite-wal', 'rb').read()"),
    Attack("a study file in a folder", "assert open('studies/other.sqlite', 'rb').read()", says="PermissionError"),
    Attack("another trial's folder", "open(PLACE + '/trials/0/labels.json').read()"),
    Attack("what lies beside its folder", "os.listdir('..')", says="PermissionError"),
    Attack("a link that leads out", "open('link').read()"),
    Attack("a link of its own that leads out",
           "p = SCRATCH + '/l-%d' % os.getpid(); os.symlink(PLACE + '/home/secret.txt', p)\n"
           "try: open(p).read()\nfinally: os.remove(p)"),
    Attack("a link that is exchanged while it is used",
           "p, q = SCRATCH + '/a-%d' % os.getpid(), SCRATCH + '/b-%d' % os.getpid()\n"
           "goals, found = (os.path.abspath('data.txt'), PLACE + '/home/secret.txt'), []\n"
           "for i in range(60):\n"
           "    os.symlink(goals[i % 2], q); os.replace(q, p)\n"
           "    try: found.append(open(p).read())\n    except OSError: pass\n"
           "os.remove(p); assert 'secret' in found", says="AssertionError"),
    Attack("the machine's users", "assert len(open('/etc/passwd').readlines()) > 2", says="AssertionError"),
    Attack("the root folder's list", "os.listdir('/')", says="PermissionError"),
    Attack("what the machine logs", "os.listdir('/var')"),
    Attack("the machine's services", "os.listdir('/run')"),
    Attack("the machine's devices", "os.listdir('/sys/class')"),
    Attack("the machine's control groups", "os.listdir('/sys/fs/cgroup')"),
    Attack("a key in the environment", "os.environ['SECRET_KEY']", says="KeyError"),
    Attack("the parent's environment", "assert b'PATH' in open(f'/proc/{os.getppid()}/environ', 'rb').read()",
           says="PermissionError"),
    Attack("any process's environment",
           "found = b''\nfor n in filter(str.isdigit, os.listdir('/proc')):\n"
           "    try: found += open(f'/proc/{n}/environ', 'rb').read()\n    except OSError: pass\n"
           "assert found.count(b'SECRET_KEY') > 0", says="AssertionError"),
    Attack("the parent's state", "open(f'/proc/{PID}/status').read()"),
    Attack("the parent's command line", "open(f'/proc/{PID}/cmdline').read()"),
    Attack("the parent's memory map", "open(f'/proc/{PID}/maps').read()"),
    Attack("the parent's descriptors", "os.listdir(f'/proc/{PID}/fd')"),
    Attack("the parent's view of the files", "open(f'/proc/{PID}/root{PLACE}/home/secret.txt').read()"),
    Attack("the parent's folder", "os.listdir(f'/proc/{PID}/cwd')"),
]  # fmt: skip

WRITING = [
    Attack("into its own program", "open(__file__, 'a').write('#')", says=ONLY_READ),
    Attack("a new file beside it", "open('new', 'w').write('x')", says=ONLY_READ),
    Attack("a data file away", "os.remove('data.txt')", says=ONLY_READ),
    Attack("a data file's name", "os.rename('data.txt', 'd2.txt')", says=ONLY_READ),
    Attack("a data file's length", "os.truncate('data.txt', 0)", says=ONLY_READ),
    Attack("a data file's rights", "os.chmod('data.txt', 0o600)", says=r"Read-only|Permission|not permitted"),
    Attack("a data file's times", "os.utime('data.txt', (1, 1))", says=r"Read-only|Permission|not permitted"),
    Attack("a second name of a data file", "os.link('data.txt', 'hard')", says=r"Read-only|Permission|not permitted"),
    Attack("a folder beside it", "os.mkdir('folder')", says=ONLY_READ),
    Attack("into another trial's folder", "open(PLACE + '/trials/0/labels.json', 'w').write('1')"),
    Attack("by another way to the root", "open(f'/proc/self/root{PLACE}/run/new', 'w').write('x')", says=ONLY_READ),
    Attack("into the Python environment",
           "p = os.path.join(sys.prefix, 'written-%d' % os.getpid()); open(p, 'w').close(); os.remove(p)",
           says=ONLY_READ),
    Attack("a file for later programs", "p = '/var/tmp/%d' % os.getpid(); open(p, 'w').close(); os.remove(p)"),
    Attack("a setting of the kernel",
           "p = '/proc/sys/kernel/hostname'; old = open(p).read(); open(p, 'w').write(old)", says=ONLY_READ, root=True),
]  # fmt: skip

NETWORK = [
    Attack("IPv4", "socket.socket(socket.AF_INET).bind(('127.0.0.1', 0))", "network", r"socket\(AF_INET\)"),
    Attack("IPv6", "socket.socket(socket.AF_INET6)", "network", r"socket\(AF_INET6\)"),
    Attack("UDP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0))", "network", "AF_INET"),
    Attack("a look-up of a name", "socket.gethostbyname('localhost')", "network", "gaierror"),
    Attack("frames on the wire", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "network", "AF_PACKET", root=True),
    Attack("the kernel's list of networks", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", says="OSError"),
    Attack("a Unix socket of a service", "socket.socket(socket.AF_UNIX).connect(PLACE + '/home/socket')"),
    Attack("an abstract Unix socket", "socket.socket(socket.AF_UNIX).connect('\\0' + PLACE)",
           says="ConnectionRefusedError|PermissionError"),
]  # fmt: skip

FLOODS = [
    Attack("memory at once", "x = bytearray(400 << 20)", "memory", "MemoryError", SMALL),
    Attack("memory in small pieces", "x = [bytes(1 << 20) for _ in range(400)]", "memory", "MemoryError", SMALL),
    Attack("shared memory of one process", "m = mmap.mmap(-1, 400 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\n"
           "busy(.3)", "memory", "together", SMALL),
    Attack("memory of many processes",
           "r, w = os.pipe(); a, b = os.pipe(); pids = []\n"
           "for _ in range(4):\n"
           "    pids.append(os.fork())\n"
           "    if not pids[-1]:\n"
           "        os.close(b); x = b'x' * (100 << 20); os.write(w, b'1'); os.read(a, 1); os._exit(0)\n"
           "for _ in pids: os.read(r, 1)\n"
           "busy(.3); os.close(b)\nfor p in pids: os.waitpid(p, 0)", "memory", "together", SMALL),
    Attack("a large file", "p = SCRATCH + '/f-%d' % os.getpid()\n"
           "try: open(p, 'wb').write(b'x' * (8 << 20))\nfinally: os.remove(p)", "disk", "File too large", SMALL),
    Attack("a file with a large hole", "p = SCRATCH + '/h-%d' % os.getpid(); open(p, 'w').close()\n"
           "try: os.truncate(p, 1 << 33)\nfinally: os.remove(p)", "disk", "File too large", SMALL),
    Attack("many large files",
           "ps = [SCRATCH + '/m-%d-%d' % (os.getpid(), i) for i in range(10)]\n"
           "try:\n    for p in ps: open(p, 'wb').write(b'x' * (1 << 20))\n"
           "finally:\n    for p in filter(os.path.exists, ps): os.remove(p)", "disk", "No space left", SMALL),
    Attack("large files in shared memory",
           "ps = ['/dev/shm/m-%d-%d' % (os.getpid(), i) for i in range(10)]\n"
           "try:\n    for p in ps: open(p, 'wb').write(b'x' * (1 << 20))\n"
           "finally:\n    for p in filter(os.path.exists, ps): os.remove(p)", "disk", "No space left", SMALL),
    Attack("many empty files",
           "ps = [SCRATCH + '/e-%d-%d' % (os.getpid(), i) for i in range(300)]\n"
           "for p in ps: open(p, 'w').close()\n"
           "busy(.3)\nfor p in ps: os.remove(p)", "disk", "more than 100 files", SMALL),
    Attack("standard output", "sys.stdout.write('x' * (1 << 20) + '\\n')", "output", "bytes",
           {"output_bytes": 1 << 18}),
    Attack("standard error", "sys.stderr.write('x' * (1 << 20))", "output", "bytes", {"output_bytes": 1 << 18}),
    Attack("processes",
           "r, w = os.pipe(); pids = []\n"
           "for _ in range(40):\n"
           "    pids.append(os.fork())\n"
           "    if not pids[-1]: os.close(w); os.read(r, 1); os._exit(0)\n"
           "os.close(w)\nfor p in pids: os.waitpid(p, 0)", "processes", "more than 12|BlockingIOError", SMALL),
    Attack("processes of processes",  # 63 at most
           "r, w = os.pipe(); first = os.getpid(); mine = 0\n"
           "for _ in range(6): mine = mine + 1 if os.fork() else 0\n"
           "os.close(w)\nif os.getpid() != first: os.read(r, 1)\n"
           "failed = any([os.wait()[1] for _ in range(mine)])\n"
           "if os.getpid() != first: os._exit(failed)\n"
           "if failed: raise BlockingIOError('a fork somewhere')", "processes", "more than 12|BlockingIOError", SMALL),
    Attack("threads",
           "e = threading.Event(); ts = [threading.Thread(target=e.wait) for _ in range(40)]\n"
           "try:\n    for t in ts: t.start()\nfinally: e.set()", "processes", "more than 12|new thread", SMALL),
    Attack("open descriptors", "fs = [open('/dev/null') for _ in range(400)]", "crash", "Too many open files",
           {"open_files": 256}),
    Attack("processor time", "busy(1.5)", "time", "processor time", {"cpu_s": 1}),
    Attack("limits that it lifts again",
           "resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)", "crash", "ValueError|Permission"),
]  # fmt: skip

PROCESSES = [
    Attack("a signal to the parent", "os.kill(PID, 0)", says="ProcessLookupError"),
    Attack("a signal to everybody", "os.kill(-1, 0)", says="ProcessLookupError"),
    Attack("a descriptor for the parent", "os.pidfd_open(PID)", says="ProcessLookupError"),
    Attack("a better place in the queue", "os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)",
           says="PermissionError", root=True),
    Attack("ptrace", "done(libc.ptrace(0, 0, 0, 0))", FORBIDDEN, "ptrace"),
    Attack("another process's memory",
           "b = ctypes.create_string_buffer(8); v = (ctypes.c_ulong * 2)(ctypes.addressof(b), 8)\n"
           "call('process_vm_readv', os.getpid(), v, 1, v, 1, 0)", FORBIDDEN, "process_vm_readv"),
    Attack("another process's descriptors", "call('pidfd_getfd', os.pidfd_open(os.getpid()), 1, 0)", FORBIDDEN,
           "pidfd_getfd"),
    Attack("another user", "os.setuid(os.getuid())", FORBIDDEN, "setuid"),
    Attack("other groups", "os.setgroups([])", FORBIDDEN, "setgroups", root=True),
    Attack("a user namespace", "done(libc.unshare(0x10000000))", FORBIDDEN, "unshare"),
    Attack("a user namespace for a child",
           "p = call('clone', 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)\nif p == 0: os._exit(0)\nos.waitpid(p, 0)",
           FORBIDDEN, "clone"),
    Attack("the way back into a namespace", "call('setns', os.open('/proc/self/ns/net', 0), 0)", FORBIDDEN, "setns",
           root=True),
    Attack("a mount", "done(libc.mount(b'none', (PLACE + '/home').encode(), b'tmpfs', 0, None))\n"
           "done(libc.umount2((PLACE + '/home').encode(), 0))", FORBIDDEN, "mount", root=True),
    Attack("another root folder", "os.chroot(PLACE)", FORBIDDEN, "chroot", root=True),
    Attack("a device file", "os.mknod(PLACE + '/run/device', stat.S_IFCHR | 0o600, os.makedev(1, 3))", FORBIDDEN,
           "mknod", root=True),
    Attack("the machine's name", "socket.sethostname(socket.gethostname())", FORBIDDEN, "sethostname", root=True),
    Attack("the keyring", "call('keyctl', 0, -3, 1)", FORBIDDEN, "keyctl"),
    Attack("a key in the keyring", "call('add_key', b'user', b'airtune-test', b'x', 1, -2)", FORBIDDEN, "add_key"),
    Attack("a program in the kernel",
           "a = (ctypes.c_uint32 * 32)(2, 4, 4, 1); call('bpf', 0, a, ctypes.sizeof(a))", FORBIDDEN, "bpf", root=True),
    Attack("the kernel's counters",
           "a = (ctypes.c_uint32 * 32)(1, 128); call('perf_event_open', a, 0, -1, -1, 0)", FORBIDDEN,
           "perf_event_open", root=True),
    Attack("faults of pages", "call('userfaultfd', 1)", FORBIDDEN, "userfaultfd", root=True),
    Attack("memory that no limit counts", "os.memfd_create('x')", says="OSError"),
    Attack("System V's shared memory", "libc.shmctl(call('shmget', 0, 4096, 0o1600), 0, 0)", says="OSError"),
    Attack("a message queue", "libc.mq_unlink(b'/airtune-%d' % os.getpid()) if call('mq_open',\n"
           "    b'airtune-%d' % os.getpid(), os.O_CREAT, 0o600, None) else 0", says="OSError"),
]  # fmt: skip

ATTACKS = {
    f"{group}: {attack.name}": attack
    for group, attacks in {
        "reads": READING, "writes": WRITING, "network": NETWORK, "floods": FLOODS, "processes": PROCESSES,
    }.items()
    for attack in attacks
}  # fmt: skip
