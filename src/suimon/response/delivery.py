"""Tells subscribers what they have not been told yet: by signed requests, or by syslog.

A tenant's address is hostile: only https, only to addresses of the Internet (asked for once, when connecting, so that
a name can't become another address in between), no redirects, and nothing of the answer is read.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import socket
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.model.incidents import Delivery, Subscriber
from suimon.resources import subscribers
from suimon.response.syslog import framed, message
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store

log = structlog.get_logger()
_FIRST_AGAIN_S: Final = 5.0
_GONE: Final = 410


class DelivererConfig(msgspec.Struct, frozen=True):
    """How often it looks, how long it waits for a subscriber, and how often it tries."""

    look_every_s: float = 1.0
    at_once: int = 20
    timeout_s: float = 10.0
    longest_again_s: float = 3600.0
    most_tries: int = 20
    """About half a day."""


class Undelivered(Exception):
    """Why a subscriber could not be told; `final` if trying again is of no use."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Deliverer:
    """Of what `store` has to tell, when it is our `turn` (None: always)."""

    def __init__(self, config: DelivererConfig, store: Store, turn: Turn | None = None) -> None:
        self._config = config
        self._store = store
        self._turn = turn

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._work)

    async def deliver(self) -> int:
        """Try all that is due now, at most so many at once; how many that were. Raises Unavailable."""
        most = self._config.at_once
        waiting = await self._store.read(lambda tx: subscribers.due(tx, most))
        await asyncio.gather(*(self._try(delivery, subscriber) for delivery, subscriber in waiting))
        return len(waiting)

    async def _work(self) -> None:
        while True:
            tried = 0
            try:
                tried = await self.deliver()
            except Unavailable as error:
                log.warning("deliveries_wait", reason=error.message)
            if tried < self._config.at_once:
                await asyncio.sleep(self._config.look_every_s)

    async def _try(self, delivery: Delivery, subscriber: Subscriber) -> None:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._send(delivery, subscriber)
        except (Undelivered, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            final = isinstance(error, Undelivered) and error.final
            why = str(error) or type(error).__name__
            if final or delivery.tries + 1 >= self._config.most_tries:
                log.warning("delivery_given_up", subscriber=subscriber.id, delivery=delivery.id, reason=why)
            else:
                again_s = min(_FIRST_AGAIN_S * 2.0**delivery.tries, self._config.longest_again_s)
                again = timedelta(seconds=again_s * random.uniform(0.8, 1.0))
                log.info("delivery_failed", subscriber=subscriber.id, reason=why, again_in_s=round(again_s, 1))
                await self._store.write(lambda tx: subscribers.postpone(tx, delivery, tx.now + again), SYSTEM)
                return
        await self._store.write(lambda tx: subscribers.delivered(tx, [delivery.id]), SYSTEM)

    async def _send(self, delivery: Delivery, subscriber: Subscriber) -> None:
        parts = urlsplit(subscriber.url)
        if not parts.scheme.startswith("syslog+"):
            now = await self._store.read(lambda tx: tx.now)
            await _post(delivery, subscriber, round(now.timestamp()))
            return
        told = message(msgspec.json.decode(delivery.body), socket.gethostname())
        match parts.scheme:
            case "syslog+udp":
                await _datagram(told, parts.hostname or "", parts.port or 514)
            case "syslog+tcp":
                await _stream(told, parts.hostname or "", parts.port or 514)
            case _:
                _local_datagram(told, parts.path)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """What goes into `X-Suimon-Signature`: HMAC-SHA256 of the timestamp, a dot and the body, with the secret's text."""
    return "sha256=" + hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, sha256).hexdigest()


class PublicResolver(AbstractResolver):
    """Names as addresses of the Internet only: what else a name leads to is as if it weren't there."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError when nothing is left."""
        found = [one for one in await self._inner.resolve(host, port, family) if is_public(one["host"])]
        if not found:
            raise OSError(f"{host} leads to no address of the Internet")
        return found

    async def close(self) -> None:
        await self._inner.close()


def is_public(text: str) -> bool:
    """Whether it is an address of the Internet, and not one of ours or of this machine in other clothes."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (inner is None or inner.is_global)


async def _post(delivery: Delivery, subscriber: Subscriber, timestamp: int) -> None:
    """Raises Undelivered, and what aiohttp raises."""
    public = subscriber.project_id is not None
    host = urlsplit(subscriber.url).hostname or ""
    # aiohttp asks no resolver about an address.
    if public and _is_address(host) and not is_public(host):
        raise Undelivered(f"{host} is no address of the Internet", final=True)
    body = delivery.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "suimon",
        "X-Suimon-Delivery": delivery.id,
        "X-Suimon-Timestamp": str(timestamp),
        "X-Suimon-Signature": signature(subscriber.secret, timestamp, body),
    }
    options: dict[str, Any] = {"resolver": PublicResolver(ThreadedResolver())} if public else {}
    connector = aiohttp.TCPConnector(force_close=True, **options)
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.post(subscriber.url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status >= 300:
            raise Undelivered(f"it answered {answer.status}", final=answer.status == _GONE)


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


async def _datagram(told: bytes, host: str, port: int) -> None:
    """RFC 5426: one message a datagram."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(host, port)
    )
    transport.sendto(told)
    transport.close()


async def _stream(told: bytes, host: str, port: int) -> None:
    """RFC 6587, section 3.4.1: each message after its length."""
    _, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(framed(told))
        await writer.drain()
    finally:
        writer.close()
        await writer.wait_closed()


def _local_datagram(told: bytes, path: str) -> None:
    """What can't be taken at once is an error, which is tried again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(path)
        sender.send(told)
