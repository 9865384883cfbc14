"""A bell on a file: who waits for what others do to the file sleeps until one of them rings, in whatever process.

The bell is a word in the file, on which the kernel puts to sleep and wakes (futex). It is only a hint of when to look
again: those who ring may die before they do, or be on another machine, so nobody sleeps for long. Where there is no
futex, everybody looks again after a short while.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import ctypes
import os
import platform
import random
import sys
import time

_WORD_AT = 200
_WORD_BYTES = 4
_SOMEBODY_AT = _WORD_AT + _WORD_BYTES
_SOMEBODY = b"wait"
_NOBODY = bytes(len(_SOMEBODY))
_WITHOUT_BELL_S = 0.002

_MAPPED_BYTES = 4096
_PROT_READ = 1
_MAP_SHARED = 1
_WAIT = 0
_WAKE = 1
_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_FUTEX = _NUMBERS.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 1 << 32 else None

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_FAILED = ctypes.c_void_p(-1).value


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Listener:
    """Somebody who waits for a ring. Nothing is missed that happens after ``listen``."""

    def __init__(self, descriptor: int, address: int | None) -> None:
        self._descriptor = descriptor
        self._address = address
        self._word = 0

    def listen(self) -> None:
        """Hear every ring from now on. Look at what is waited for between this and ``wait``."""
        if self._address is not None:
            self._word = ctypes.c_uint32.from_address(self._address).value
            with suppress(OSError):
                os.pwrite(self._descriptor, _SOMEBODY, _SOMEBODY_AT)

    def wait(self, most_s: float) -> None:
        """Return when it rang, or after so many seconds, or a little earlier for no reason."""
        if self._address is None:
            # Waiters who all sleep the same time would all wake at the same time.
            time.sleep(min(most_s, _WITHOUT_BELL_S) * random.uniform(0.5, 1.0))  # noqa: S311
        else:
            _futex(self._address, _WAIT, self._word, ctypes.byref(_Time(int(most_s), int(most_s % 1 * 1e9))))


@contextmanager
def listening(descriptor: int) -> Iterator[Listener]:
    """Lend somebody who waits for the bell of a file that is open for reading and writing."""
    address = None
    # Beyond the end of a file nothing can be mapped; and a full disk may have no room for a bell.
    with suppress(OSError):
        os.pwrite(descriptor, _SOMEBODY, _SOMEBODY_AT)
        address = _map(descriptor)
    try:
        yield Listener(descriptor, address)
    finally:
        _unmap(address)


def ring(descriptor: int) -> None:
    """Wake one of those who wait for the bell of this file; one look into the file where nobody does."""
    with suppress(OSError):
        if os.pread(descriptor, len(_SOMEBODY), _SOMEBODY_AT) != _SOMEBODY:
            return
        # Another word each time, so that whoever is about to sleep on the old one stays awake.
        os.pwrite(descriptor, os.urandom(_WORD_BYTES) + _NOBODY, _WORD_AT)
        if (address := _map(descriptor)) is not None:
            _futex(address, _WAKE, 1, None)
            _unmap(address)


def _futex(address: int, operation: int, number: int, limit: object) -> None:
    _libc.syscall(
        ctypes.c_long(_FUTEX or 0), ctypes.c_void_p(address), operation, ctypes.c_uint32(number), limit, None, 0
    )


def _map(descriptor: int) -> int | None:
    """Return the address of the bell, for reading: a write to it could find the disk full, which is fatal."""
    if _FUTEX is None:
        return None
    begin = _libc.mmap(None, _MAPPED_BYTES, _PROT_READ, _MAP_SHARED, descriptor, ctypes.c_long(0))
    return None if begin == _FAILED else int(begin) + _WORD_AT


def _unmap(address: int | None) -> None:
    if address is not None:
        _libc.munmap(ctypes.c_void_p(address - _WORD_AT), ctypes.c_size_t(_MAPPED_BYTES))
