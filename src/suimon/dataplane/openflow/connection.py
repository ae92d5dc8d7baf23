"""The OpenFlow 1.5 client of one bridge, over its management socket (`<rundir>/<bridge>.mgmt`)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Never, cast

import msgspec
import structlog

from suimon.dataplane.openflow import messages
from suimon.dataplane.openflow.errors import Refused, decode_error
from suimon.dataplane.openflow.flow_dump import FlowDump
from suimon.dataplane.openflow.messages import (
    HEADER,
    VERSION,
    Bundle,
    Flows,
    Fragments,
    Groups,
    Message,
    Meters,
    PacketIn,
    Type,
)
from suimon.pipeline.flow import Actions, FlowKey, Match

log = structlog.get_logger()

_MOST_UNSENT_BYTES: Final = 1 << 15
"""More, and who writes waits."""


class Config(msgspec.Struct, frozen=True):
    """`timeout_s` bounds every answer; an atomic bundle of 10,000 flows takes about a quarter of a second."""

    timeout_s: float = 15.0
    packet_queue: int = 256
    max_reply_bytes: int = 1 << 28


class Committed(NamedTuple):
    """What became of a bundle: why messages were refused, by index, and whether the others came true."""

    refused: dict[int, Refused]
    others: bool


class _Answer:
    """An answer on its way: the bodies that came so far."""

    def __init__(self, xid: int) -> None:
        self.xid = xid
        self.parts: list[bytes] = []
        self.bytes = 0
        self.done: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        """Also when nobody is going to look at it: asyncio then must not complain."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


class _Wire(asyncio.Protocol):
    """The socket: gives each whole message to `receive` (its type, transaction id and body) as soon as it is here.

    Without a task that reads, since each turn of the loop costs as much as what is done in it. What can't be a message,
    to us or to `receive` (ValueError, struct.error), ends it: `lost` is done when it has ended, and says why.
    """

    def __init__(self, receive: Callable[[int, int, bytes], None]) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._receive = receive
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_MOST_UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed by the other side")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self.lost.done():
            return
        data, at = self._rest + data, 0
        try:
            while len(data) - at >= HEADER.size:
                version, kind, length, xid = HEADER.unpack_from(data, at)
                if length < HEADER.size or (version != VERSION and kind != Type.HELLO):
                    raise ValueError(f"a message of version {version} and {length} bytes")
                if kind == Type.HELLO and version < VERSION:
                    raise ValueError(f"the bridge doesn't speak OpenFlow 1.5 (its version is {version})")
                if len(data) - at < length:
                    break
                self._receive(kind, xid, data[at + HEADER.size : at + length])
                at += length
        except (struct.error, ValueError) as error:
            self._end(str(error))
            return
        self._rest = data[at:]

    @property
    def closed(self) -> bool:
        return self.lost.done() or self._transport is None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        assert self._transport is not None, "it is connected"
        self._transport.write(data)

    async def writable(self, timeout_s: float) -> None:
        """Returns once little enough is unsent. TimeoutError when the other side takes nothing."""
        if not self._writable.is_set():
            async with asyncio.timeout(timeout_s):
                await self._writable.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _end(self, reason: str) -> None:
        self._writable.set()
        if not self.lost.done():
            self.lost.set_result(reason)


class Connection:
    """One connection: `run()` opens it and serves it until the socket closes, then ends with an exception.

    All requests wait for the connection to be up, raise `Refused` when the switch says no, TimeoutError when it says
    nothing and ConnectionError once it is gone. After a timeout the state of the switch is not known: drop the
    connection and observe again. `packets` holds what flows handed to us; what doesn't fit is dropped and counted.
    """

    def __init__(self, config: Config, path: Path) -> None:
        self._config, self._path = config, path
        self.packets: asyncio.Queue[PacketIn] = asyncio.Queue(config.packet_queue)
        self.packets_dropped = 0
        self._dump = FlowDump()
        self._xid = 0
        self._answers: dict[int, _Answer] = {}
        self._bundle_xids = range(0)
        self._bundle_errors: dict[int, Refused] = {}
        self._bundle_lock = asyncio.Lock()
        self._wire: _Wire | None = None
        self._up = asyncio.Event()

    async def run(self) -> Never:
        """Raises OSError when the socket can't be opened, ConnectionError when it closes or talks nonsense."""
        wire = self._wire = _Wire(self._receive)
        async with asyncio.timeout(self._config.timeout_s):
            await asyncio.get_running_loop().create_unix_connection(lambda: wire, str(self._path))
        try:
            hello = Message(Type.HELLO, struct.pack("!HHI", 1, 8, 1 << VERSION))
            await self._write(messages.frame(hello, 0) + messages.frame(messages.CONFIGURE, 0))
            reason = await wire.lost
            raise ConnectionResetError(f"OpenFlow connection {self._path} ended: {reason}")
        finally:
            self._close()

    async def commit(self, changes: Sequence[Message], *, decodable: bool = False) -> Committed:
        """Flow and group messages as one atomic bundle, in this order: all come true, or none.

        If they are said to be `decodable`, the switch isn't asked whether they are before it commits. Should one not
        be, the others come true.
        """
        if not changes:
            return Committed({}, others=True)
        async with self._bundle_lock:
            first = self._take_xids(len(changes))
            self._bundle_xids, self._bundle_errors = range(first, first + len(changes)), {}
            others = await self._commit(first, changes, Bundle.COMMIT if decodable else Bundle.CLOSE)
            return Committed({xid - first: error for xid, error in self._bundle_errors.items()}, others)

    async def change(self, changes: Sequence[Message]) -> dict[int, Refused]:
        """Messages each by itself, which are answered only when they fail: once a barrier is answered, the others
        came true. The indexes of those that were refused, and why. All of them wait for one answer.
        """
        if not changes:
            return {}
        await self._ready()
        answers = self._expect(len(changes))
        try:
            frames = (messages.frame(each, answer.xid) for each, answer in zip(changes, answers, strict=True))
            await self._write(b"".join(frames))
            await self._request(messages.BARRIER)
            errors = ((at, each.done.exception()) for at, each in enumerate(answers) if each.done.done())
            return {at: error for at, error in errors if isinstance(error, Refused)}
        finally:
            self._forget(answers)

    async def flush_zone(self, zone: int) -> None:
        """Forget the connections of a conntrack zone, in the datapath of this bridge.

        `ovs-appctl dpctl/flush-conntrack` can't: it refuses where a host has bridges of both datapaths, and Open
        vSwitch 3.1 doesn't understand a datapath's name there.
        """
        for refused in (await self.change([messages.flush_zone(zone)])).values():
            raise refused

    async def dump_flows(self) -> Flows:
        """Every flow of the bridge, or an error, never a part."""
        return await self._dump.decoded(await self._request(messages.DUMP_FLOWS))

    async def dump_groups(self) -> Groups:
        return messages.decode_groups(await self._request(messages.DUMP_GROUPS))

    async def dump_meters(self) -> Meters:
        return messages.decode_meters(await self._request(messages.DUMP_METERS))

    async def fragments(self) -> Fragments:
        """What flows of the bridge see of fragments now: one setting for all connections, which anybody may change."""
        return messages.decode_fragments(await self._request(messages.READ_CONFIGURATION))

    async def packets_of(self, cookie: int) -> dict[FlowKey, int]:
        """How many packets each flow with this cookie has counted; the datapath's newest may lack, for a second."""
        parts = await self._request(messages.dump_flows_of(cookie))
        return {messages.decode_flow(one)[0]: messages.decode_packets(one) for one in messages.entries(parts)}

    async def flow_counts(self, stage: int, cookie: int | None = None) -> list[messages.FlowCount]:
        """What the flows of one stage have counted, or those with one cookie; the datapath's newest may lack, for a
        second.
        """
        asked = messages.dump_flows_in(stage) if cookie is None else messages.dump_flows_of(cookie, stage)
        parts = await self._request(asked)
        return [messages.decode_count(entry) for entry in messages.entries(parts)]

    async def drops(self, stage: int) -> dict[tuple[int, FlowKey], int]:
        """How many packets the flows of one stage have dropped, by cookie and key; as late as `flow_counts`."""
        found = map(messages.decode_drop, messages.entries(await self._request(messages.dump_flows_in(stage))))
        return {(cookie, key): packets for cookie, key, packets in filter(None, found)}

    async def interface_counts(self) -> dict[int, messages.InterfaceCount]:
        """What the devices behind the bridge's ports have counted, by number."""
        return messages.decode_interfaces(await self._request(messages.DUMP_INTERFACES))

    async def metered(self, meter_id: int) -> messages.Metered:
        """How many packets a meter has got, and dropped."""
        return messages.decode_metered(await self._request(messages.meter_stats_of(meter_id)))

    async def packet_out(self, actions: Actions, data: bytes, fields: Match) -> None:
        """Send `data` through the switch (see `messages.packet_out`). Not acknowledged: errors are logged."""
        await self._ready()
        await self._write(messages.frame(messages.packet_out(actions, data, fields), 0))

    async def _commit(self, bundle_id: int, changes: Sequence[Message], end: Bundle) -> bool:
        """Whether what was decoded came true. The bundle is sent with its `end` in one write, and opened by the first
        message in it (OpenFlow 1.5.1, 7.3.9).

        Open vSwitch forgets a message it can't decode and would commit the rest: with CLOSE, look for errors before
        committing. The answer to an end comes after the errors of all that was added before it. A switch that has just
        been started is busy, and each answer of it costs a turn of its main loop.
        """
        bundle = messages.bundle_frames(bundle_id, changes, self._bundle_xids.start)
        try:
            await self._request(messages.bundle_control(end, bundle_id), after=bundle)
            if end is Bundle.COMMIT:
                return True
            if self._bundle_errors:
                await self._request(messages.bundle_control(Bundle.DISCARD, bundle_id))
                return False
            await self._request(messages.bundle_control(Bundle.COMMIT, bundle_id))
            return True
        except Refused:
            # "A message in it failed": the error about that message came just before, and says more.
            if not self._bundle_errors:
                raise
            return False

    async def _request(self, message: Message, *, after: bytes = b"") -> list[bytes]:
        """Its answer. `after` are messages that go before it, in the same write."""
        await self._ready()
        (answer,) = answers = self._expect(1)
        try:
            await self._write(after + messages.frame(message, answer.xid))
            async with asyncio.timeout(self._config.timeout_s):
                return await answer.done
        finally:
            self._forget(answers)

    async def _ready(self) -> None:
        """Returns once the connection is up, or was."""
        if not self._up.is_set():
            async with asyncio.timeout(self._config.timeout_s):
                await self._up.wait()

    def _expect(self, count: int) -> list[_Answer]:
        """Transaction ids whose answers are kept until they are forgotten, which whoever waits for them must do."""
        first = self._take_xids(count)
        answers = [_Answer(xid) for xid in range(first, first + count)]
        self._answers.update((answer.xid, answer) for answer in answers)
        return answers

    def _forget(self, answers: Sequence[_Answer]) -> None:
        for answer in answers:
            del self._answers[answer.xid]
            answer.done.cancel()

    def _take_xids(self, count: int) -> int:
        if self._xid + count > 0xFFFFFFFF:
            self._xid = 0
        self._xid += count
        return self._xid - count + 1

    async def _write(self, data: bytes) -> None:
        if self._wire is None or self._wire.closed:
            raise ConnectionResetError(f"OpenFlow connection {self._path} is closed")
        self._wire.write(data)
        await self._wire.writable(self._config.timeout_s)

    def _receive(self, kind: int, xid: int, body: bytes) -> None:
        match kind:
            case Type.HELLO:
                self._up.set()
            case Type.ECHO_REQUEST:
                assert self._wire is not None, "it asks by it"
                self._wire.write(messages.frame(Message(Type.ECHO_REPLY, body), xid))
            case Type.PACKET_IN:
                self._take_packet(body)
            case Type.ERROR:
                self._take_error(xid, decode_error(body))
            case _:
                self._take_answer(xid, body, kind == Type.MULTIPART_REPLY and messages.multipart_more(body))

    def _take_packet(self, body: bytes) -> None:
        """A queue that overflows loses packets, as a wire does: what asks again (DHCP, ARP) is served then."""
        try:
            self.packets.put_nowait(messages.decode_packet_in(body))
        except asyncio.QueueFull:
            self.packets_dropped += 1

    def _take_error(self, xid: int, error: Refused) -> None:
        if xid in self._bundle_xids:
            self._bundle_errors.setdefault(xid, error)
        elif (answer := self._answers.get(xid)) is not None:
            answer.fail(error)
        else:
            log.warning("openflow_error", path=str(self._path), reason=str(error))

    def _take_answer(self, xid: int, body: bytes, more: bool) -> None:
        """A part of an answer; whatever nobody asked for (port status and the like) is not for us."""
        if (answer := self._answers.get(xid)) is None:
            return
        answer.parts.append(body)
        answer.bytes += len(body)
        if answer.bytes > self._config.max_reply_bytes:
            answer.fail(ValueError(f"the switch's answer is larger than {self._config.max_reply_bytes} bytes"))
        elif not more and not answer.done.done():
            answer.done.set_result(answer.parts)

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._up.set()
        for answer in self._answers.values():
            answer.fail(ConnectionResetError(f"OpenFlow connection {self._path} ended"))
