"""Disables AMX for this process and its children, so that every engine runs as on a machine without it.

An engine asks Linux for AMX's tiles before it uses them (arch_prctl, ARCH_REQ_XCOMP_PERM); a seccomp filter refuses
that. oneDNN in PyTorch and OpenVINO, and ONNX Runtime's MLAS, then use AVX-512 kernels. The filter is inherited by
children and cannot be removed.

    python -m benchmarks.without_amx python -m sut --backend pytorch --precision int8
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_ARCH_PRCTL, _REQUEST_TILES, _REFUSED = 158, 0x1023, 22  # x86-64's number of the call, its first argument, EINVAL
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2  # prctl's numbers
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT, _X86_64 = 0, 4, 16, 0xC000003E
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000

# (operation, skipped if equal, skipped if not, operand)
_PROGRAM = (
    (_LOAD, 0, 0, _ARCHITECTURE_AT),
    (_EQUAL, 0, 5, _X86_64),
    (_LOAD, 0, 0, _NUMBER_AT),
    (_EQUAL, 0, 3, _ARCH_PRCTL),
    (_LOAD, 0, 0, _ARGUMENT_AT),
    (_EQUAL, 0, 1, _REQUEST_TILES),
    (_RETURN, 0, 0, _ERROR | _REFUSED),
    (_RETURN, 0, 0, _ALLOW),
)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def deny() -> None:
    """Disable AMX for this process and its children; does nothing on machines without it.

    Raises:
        OSError: Linux refuses the filter.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(struct.pack("HBBI", *line) for line in _PROGRAM)
    program = _Filter(len(_PROGRAM), code)
    done = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    if done:
        raise OSError(ctypes.get_errno(), f"expected a seccomp filter, found: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    deny()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command that its user typed
