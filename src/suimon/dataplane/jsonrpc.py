"""JSON-RPC as Open vSwitch speaks it: objects one after the other on a stream socket, with nothing between them.

Used for OVSDB (RFC 7047, section 4) and for the daemons' control sockets.
"""

from __future__ import annotations

import asyncio
import re

import msgspec

_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class Message(msgspec.Struct, forbid_unknown_fields=False):
    """A request (method, params), a notification (no id) or a response (result, error)."""

    id: str | int | None = None
    method: str | None = None
    params: list[msgspec.Raw] | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def failed(self) -> bool:
        return bytes(self.error) != b"null"


class Framer:
    """Cuts a stream into JSON objects by counting braces outside of strings. `limit` bounds one object, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that `data` completes. Raises ValueError when one is too large or the stream is no JSON."""
        self._buffer += data
        objects = []
        while (end := self._next_end()) is not None:
            objects.append(bytes(self._buffer[:end]))
            del self._buffer[:end]
            self._at = 0
        if len(self._buffer) > self._limit:
            raise ValueError(f"a message of more than {self._limit} bytes")
        return objects

    def _next_end(self) -> int | None:
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(self._buffer, self._at):
            self._at = found.end()
            match found[0]:
                case b'"':
                    self._in_string = not self._in_string
                case b"\\":
                    self._at += 1
                case b"{":
                    self._depth += 1
                case b"}":
                    self._depth -= 1
                    if self._depth < 0:
                        raise ValueError("a closing brace without an opening one")
                    if self._depth == 0:
                        return self._at
        self._at = max(self._at, len(self._buffer))
        return None


async def receive(reader: asyncio.StreamReader, framer: Framer) -> list[Message]:
    """The messages that the next bytes complete, perhaps none. Raises EOFError at the end, ValueError on nonsense."""
    data = await reader.read(1 << 16)
    if not data:
        raise EOFError("closed by the other side")
    return [msgspec.json.decode(text, type=Message) for text in framer.feed(data)]
