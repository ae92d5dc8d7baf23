"""The resolver that guests are told: their network's names from the view, everything else from the host's resolvers.

By UDP and TCP, in the services' namespace, where only ports of this host can ask: strangers get no recursion. What is
forwarded has an id and a source port that nobody can guess (RFC 5452), a time limit, and a bound on how many wait. The
resolvers are the operator's: those that a tenant names in a subnet are asked by the guests themselves, for a host must
not send packets to where a tenant points it.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Never, cast

import msgspec
import structlog

from suimon.agent.services.askers import Asker, Askers, Shares
from suimon.agent.services.dns_message import LARGEST, SMALLEST, Code, DnsError, Query
from suimon.agent.services.names import NetworkNames

log = structlog.get_logger()

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_DNS_L4_PORT: Final = 53
_Address = tuple[str, int] | tuple[str, int, int, int]
_Forward = Coroutine[None, None, None]
_Ask = Callable[[str, int, Query], Awaitable[bytes]]
"""Puts a question to a resolver (address, l4 port)."""


class Config(msgspec.Struct, frozen=True):
    """`resolvers` are the addresses of those who are asked for what is not ours, tried in this order."""

    resolvers: tuple[str, ...] = ()
    resolver_l4_port: int = _DNS_L4_PORT
    timeout_s: float = 3.0
    most_waiting_each: int = 32
    most_waiting: int = 256
    most_connections_each: int = 4
    most_connections: int = 64
    most_connection_s: float = 15.0


def host_resolvers(file: Path = _RESOLV_CONF) -> tuple[str, ...]:
    """The first three that resolv.conf(5) names; none if it can't be read."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return ()
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")[:3]


class Resolver:
    """`serve_datagrams` and `serve_streams` answer on a socket each for as long as they are not cancelled."""

    def __init__(self, config: Config, askers: Askers, names: NetworkNames) -> None:
        self._config = config
        self._askers = askers
        self._names = names
        self._waiting = Shares(config.most_waiting_each, config.most_waiting)
        self._connections = Shares(config.most_connections_each, config.most_connections)

    async def serve_datagrams(self, receiver: socket.socket) -> Never:
        """Raises OSError when the socket is no good any more."""
        async with asyncio.TaskGroup() as forwarding:
            transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Asked(self._take_datagram, forwarding), sock=receiver
            )
            try:
                await protocol.lost
            finally:
                transport.close()
        raise ConnectionError("the socket for questions was closed")

    async def serve_streams(self, listener: socket.socket) -> Never:
        """Raises OSError when the socket is no good any more."""
        server = await asyncio.start_server(self._stream, sock=listener, limit=1 << 16)
        async with server:
            await server.serve_forever()
        raise AssertionError("serving never ends")

    def _question(self, raw: bytes, address: str, room: int) -> bytes | tuple[Asker, Query] | None:
        """The answer, of `room` bytes at most, if it is known here; whose question it is, if it isn't; None for what
        deserves neither.
        """
        asker = self._askers.find(address)
        if asker is None:
            return None
        try:
            query = Query.parse(raw, room)
        except DnsError as error:
            log.debug("dns_refused", port=asker.port.id, reason=str(error))
            return None
        names = self._names.of(asker.port.network_id)
        return (names.answer(query) if names else None) or (asker, query)

    def _take_datagram(self, raw: bytes, address: _Address, transport: asyncio.DatagramTransport) -> _Forward | None:
        """What is known is answered at once; what isn't, is left to do."""
        found = self._question(raw, address[0], SMALLEST)
        if isinstance(found, bytes):
            transport.sendto(found, address)
        elif found is not None:
            return self._forward_datagram(found, transport, address)
        return None

    async def _forward_datagram(
        self, found: tuple[Asker, Query], transport: asyncio.DatagramTransport, address: _Address
    ) -> None:
        transport.sendto(await self._forwarded(*found, _ask_by_datagram), address)

    async def _forwarded(self, asker: Asker, query: Query, ask: _Ask) -> bytes:
        """A resolver's answer to a guest's question, or SERVFAIL when there is none in time."""
        with self._waiting.taken(asker.port.id) as allowed:
            if not query.recursion or not allowed:
                return query.answer(Code.REFUSED)
            for resolver in self._config.resolvers:
                with suppress(OSError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(self._config.timeout_s):
                        return await ask(resolver, self._config.resolver_l4_port, query)
        return query.answer(Code.SERVER_FAILURE)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection asks as often as it likes, within the time that it has."""
        address = writer.get_extra_info("peername")[0]
        asker = self._askers.find(address)
        with ExitStack() as held:
            if asker is not None and held.enter_context(self._connections.taken(asker.port.id)):
                with suppress(OSError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(self._config.most_connection_s):
                        await self._converse(reader, writer, address)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        while True:
            raw = await _read_message(reader)
            found = self._question(raw, address, LARGEST)
            if found is None:
                return
            answer = found if isinstance(found, bytes) else await self._forwarded(*found, _ask_by_stream)
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()


class _Asked(asyncio.DatagramProtocol):
    """The socket where guests' questions arrive."""

    def __init__(
        self,
        take: Callable[[bytes, _Address, asyncio.DatagramTransport], _Forward | None],
        forwarding: asyncio.TaskGroup,
    ) -> None:
        self._take = take
        self._forwarding = forwarding
        self._transport: asyncio.DatagramTransport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: _Address) -> None:
        assert self._transport is not None
        forward = self._take(data, addr, self._transport)
        if forward is not None:
            self._forwarding.create_task(forward)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


class _Answered(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers the question; what else comes is no answer."""

    def __init__(self, query: Query, asked_id: int) -> None:
        self._query = query
        self._asked_id = asked_id
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        answer = self._query.answered_by(data, self._asked_id)
        if answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _ask_by_datagram(resolver: str, l4_port: int, query: Query) -> bytes:
    """From a fresh source port of the kernel's choice; a connected socket hears nobody but the resolver."""
    asked_id = secrets.randbelow(1 << 16)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answered(query, asked_id), remote_addr=(resolver, l4_port)
    )
    try:
        transport.sendto(query.asked(asked_id))
        return await protocol.answer
    finally:
        transport.close()


async def _ask_by_stream(resolver: str, l4_port: int, query: Query) -> bytes:
    asked_id = secrets.randbelow(1 << 16)
    reader, writer = await asyncio.open_connection(resolver, l4_port)
    try:
        question = query.asked(asked_id)
        writer.write(len(question).to_bytes(2, "big") + question)
        await writer.drain()
        answer = query.answered_by(await _read_message(reader), asked_id)
    finally:
        writer.transport.abort()
    if answer is None:
        raise ConnectionError(f"{resolver} answered something else")
    return answer


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """RFC 1035, 4.2.2: two bytes of length come first."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
