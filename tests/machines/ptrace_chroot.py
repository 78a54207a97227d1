"""Runs inside a machine, as root: makes PID 1 change its root directory to /srv/decoy. x86-64 only."""

import ctypes
import os
import sys

ATTACH, DETACH, GETREGS, SETREGS, SINGLESTEP, PEEK, POKE = 16, 17, 12, 13, 9, 2, 5
CHROOT = 161
NAMES = [
    "r15",
    "r14",
    "r13",
    "r12",
    "rbp",
    "rbx",
    "r11",
    "r10",
    "r9",
    "r8",
    "rax",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "orig_rax",
    "rip",
    "cs",
    "eflags",
    "rsp",
    "ss",
    "fs_base",
    "gs_base",
    "ds",
    "es",
    "fs",
    "gs",
]


class Registers(ctypes.Structure):
    """struct user_regs_struct."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, address: int = 0, data: object = None) -> int:
    ctypes.set_errno(0)
    answer = int(LIBC.ptrace(request, 1, address, data))
    if ctypes.get_errno():
        sys.exit(f"ptrace {request}: {os.strerror(ctypes.get_errno())}")
    return answer


def main() -> None:
    os.makedirs("/srv/decoy/etc", exist_ok=True)  # noqa: PTH103 - nothing but the standard library's least
    ptrace(ATTACH)
    os.waitpid(1, 0x40000000)
    kept, changed = Registers(), Registers()
    ptrace(GETREGS, 0, ctypes.byref(kept))
    ctypes.pointer(changed)[0] = kept
    place = (kept.rsp - 4096) & ~0xF
    text = b"/srv/decoy\0".ljust(16, b"\0")
    for offset in (0, 8):
        ptrace(POKE, place + offset, int.from_bytes(text[offset : offset + 8], "little"))
    # It waits in a system call: two bytes before where it goes on stands the instruction that made it.
    changed.rip, changed.rax, changed.orig_rax, changed.rdi = kept.rip - 2, CHROOT, 2**64 - 1, place
    ptrace(SETREGS, 0, ctypes.byref(changed))
    ptrace(SINGLESTEP)
    os.waitpid(1, 0x40000000)
    ptrace(GETREGS, 0, ctypes.byref(changed))
    ptrace(SETREGS, 0, ctypes.byref(kept))
    ptrace(DETACH)
    sys.stdout.write(f"chroot: {ctypes.c_longlong(changed.rax).value}")


main()
