"""DNS messages (RFC 1035, 4.1) as far as a host has to understand them: a question in, an answer to it out.

A query comes from a stranger: any bytes give a `Query` or `DnsError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from ipaddress import ip_address
from typing import Final, Self

import msgspec

_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_AUTHORITATIVE: Final = 0x0400
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_IN: Final = 1
_LONGEST_NAME: Final = 255
_LONGEST_LABEL: Final = 63
_QUESTION_AT: Final = 0xC000 | _HEADER.size
"""A compressed name that points to the question's."""
SMALLEST: Final = 512
"""Bytes that every client takes by UDP."""
LARGEST: Final = 0xFFFF
"""Bytes that a message by TCP may have (RFC 1035, 4.2.2)."""


class Kind(IntEnum):
    """The record types that we have (RFC 1035, 3.2.2, RFC 3596)."""

    A = 1
    PTR = 12
    AAAA = 28


class Code(IntEnum):
    """How it went (RFC 1035, 4.1.1)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class DnsError(ValueError):
    """These bytes are no query; says why."""


class Query(msgspec.Struct, frozen=True):
    """One question. `name` is in lower case, without the last dot; `question` is how it was put, to be repeated."""

    id: int
    name: str
    kind: int
    question: bytes
    recursion: bool = True
    room: int = SMALLEST
    """Bytes that an answer may have."""

    @classmethod
    def parse(cls, raw: bytes, room: int = SMALLEST) -> Self:
        if len(raw) < _HEADER.size:
            raise DnsError(f"{len(raw)} bytes have no whole header")
        id_, flags, questions, answers, authorities, _ = _HEADER.unpack_from(raw)
        if flags & (_RESPONSE | _OPCODE) or (questions, answers, authorities) != (1, 0, 0):
            raise DnsError("not a plain query with one question")
        labels, end = _labels(raw, _HEADER.size)
        if end + 4 > len(raw):
            raise DnsError("the question is cut off")
        kind, in_class = struct.unpack_from("!HH", raw, end)
        if in_class != _IN:
            raise DnsError(f"class {in_class} is not the Internet's")
        question = raw[_HEADER.size : end + 4]
        return cls(id_, ".".join(labels), kind, question, bool(flags & _RECURSION_DESIRED), room)

    def answer(self, code: Code, addresses: Iterable[str] = (), names: Sequence[str] = (), ttl_s: int = 60) -> bytes:
        """With these addresses (A and AAAA) or names (PTR) as its records."""
        data = [ip_address(each).packed for each in addresses] + [encoded(each) for each in names]
        kind = Kind.PTR if names else self.kind
        records = [struct.pack("!HHHIH", _QUESTION_AT, kind, _IN, ttl_s, len(each)) + each for each in data]
        body = self.question + b"".join(records)
        flags = _RESPONSE | _AUTHORITATIVE | _RECURSION_AVAILABLE | code
        flags |= _RECURSION_DESIRED if self.recursion else 0
        if _HEADER.size + len(body) > self.room:
            return _HEADER.pack(self.id, flags | _TRUNCATED, 1, 0, 0, 0) + self.question
        return _HEADER.pack(self.id, flags, 1, len(records), 0, 0) + body

    def asked(self, id_: int) -> bytes:
        """The question as we put it to another server: nothing but it, and that it may ask others."""
        return _HEADER.pack(id_, _RECURSION_DESIRED, 1, 0, 0, 0) + self.question

    def answered_by(self, raw: bytes, asked_id: int) -> bytes | None:
        """Another server's answer as ours: None unless it answers this question, put to it as `asked_id`."""
        if len(raw) < _HEADER.size + len(self.question):
            return None
        id_, flags, questions, *_ = _HEADER.unpack_from(raw)
        end = _HEADER.size + len(self.question)
        same = raw[_HEADER.size : end].lower() == self.question.lower()
        if id_ != asked_id or not flags & _RESPONSE or questions != 1 or not same:
            return None
        return self.id.to_bytes(2, "big") + raw[2 : _HEADER.size] + self.question + raw[end:]


def encoded(name: str) -> bytes:
    """A name as labels."""
    labels = [label.encode("ascii", "replace") for label in name.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _labels(raw: bytes, at: int) -> tuple[list[str], int]:
    """Of the question's name: a query has nothing that a compressed name could point to."""
    labels: list[str] = []
    start = at
    while True:
        if at >= len(raw):
            raise DnsError("the name is cut off")
        length = raw[at]
        if length == 0:
            return labels, at + 1
        if length > _LONGEST_LABEL or at + 1 + length > len(raw) or at + 1 + length - start > _LONGEST_NAME:
            raise DnsError("a label that is compressed, too long or cut off")
        labels.append(raw[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
