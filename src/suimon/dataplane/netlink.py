"""The kernel asked by netlink(7): messages and attributes as they are on the wire, and dumps, complete or an error."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

HEADER: Final = struct.Struct("=IHHII")
ATTRIBUTE: Final = struct.Struct("=HH")
REQUEST: Final = 1
MOST_BYTES: Final = 1 << 16
"""More than the kernel puts into one answer."""
_DUMP: Final = 0x300
_INTERRUPTED: Final = 0x10
_ERROR, _DONE = 2, 3
_KIND: Final = 0x3FFF
"""Of an attribute, without its flags."""
_NUMBER: Final = struct.Struct("=i")
_TIMEOUT: Final = struct.pack("@ll", 2, 0)
_TRIES: Final = 10
_FAMILIES: Final = {"route": 0, "netfilter": 12}


def opened(family: str) -> socket.socket:
    """A socket to that part of the kernel (`route`, `netfilter`), in the network namespace of this thread for good."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _FAMILIES[family])
    # What is waited for is there as soon as it is asked: this bounds what should never be.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
    return made


def dump(asking: socket.socket, kind: int, body: bytes) -> list[tuple[int, bytes]]:
    """All messages that answer, as kind and body. What changed while it was read is read again. Raises OSError."""
    for _ in range(_TRIES):
        asking.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST | _DUMP, 1, 0) + body)
        found, whole = _dumped(asking)
        if whole:
            return found
    raise OSError(errno.EINTR, f"what netlink tells of kind {kind} changed each time that it was read")


def parts(said: bytes, header: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each: a header begins with the length, itself included, and the kind; all are aligned to 4."""
    at = 0
    while at + header.size <= len(said):
        length, kind = header.unpack_from(said, at)[:2]
        if length < header.size:
            return
        yield kind, said[at + header.size : at + length]
        at += (length + 3) & ~3


def attributes(said: bytes) -> dict[int, bytes]:
    """By kind; of several of one kind the last."""
    return {kind & _KIND: body for kind, body in parts(said, ATTRIBUTE)}


def attribute(kind: int, value: bytes) -> bytes:
    """One, as it is told to the kernel."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _dumped(asking: socket.socket) -> tuple[list[tuple[int, bytes]], bool]:
    """What came, and whether it is of one moment."""
    found: list[tuple[int, bytes]] = []
    whole = True
    while True:
        said = asking.recv(MOST_BYTES)
        at = 0
        while at + HEADER.size <= len(said):
            length, kind, flags, _, _ = HEADER.unpack_from(said, at)
            if length < HEADER.size or at + length > len(said):
                raise OSError(errno.EBADMSG, "netlink told half a message")
            body = said[at + HEADER.size : at + length]
            whole = whole and not flags & _INTERRUPTED
            if kind in (_ERROR, _DONE):
                _raise(body)
                return found, whole
            found.append((kind, body))
            at += (length + 3) & ~3


def _raise(body: bytes) -> None:
    """For an error that is told, or that a dump ended with."""
    number = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
    if number:
        raise OSError(number, f"netlink: {os.strerror(number)}")
