"""Subscribers hear what happened: signed, again until they hear it, and tenants' addresses are not ours."""

import asyncio
import hmac
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from suimon.model.actor import Actor
from suimon.model.incidents import Delivery, Subscriber, linked
from suimon.resources import subscribers
from suimon.resources.subscribers import add_subscriber
from suimon.response.delivery import Deliverer, DelivererConfig, PublicResolver, is_public
from suimon.response.syslog import framed, message
from tests.resources.world import ADMIN, ALICE, BOB
from tests.response.cloud import Cloud
from tests.response.conftest import Resting
from tests.response.test_usage import HEAVY, minutes, uses

Make = Callable[..., Cloud]
Heard = list[tuple[dict[str, str], bytes]]


@asynccontextmanager
async def listening(answers: list[int]) -> AsyncIterator[tuple[str, Heard]]:
    """Answers each request with the next of `answers`, 200 when there are no more."""
    heard: Heard = []

    async def hear(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.read()))
        status = answers.pop(0) if answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hear)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", heard
    finally:
        await runner.cleanup()


def subscribe(c: Cloud, url: str, by: Actor = ADMIN) -> Subscriber:
    return c.write(lambda tx: add_subscriber(tx, by, url, "s3cret"), by)


def waiting(c: Cloud) -> list[Delivery]:
    return c.read(lambda tx: tx.select(Delivery, order=("id",)))


def deliver(c: Cloud, times: int = 1) -> None:
    for _ in range(times):
        c.loop.run_until_complete(Deliverer(DelivererConfig(), c.store).deliver())


def test_what_happened_is_told_signed_and_again_after_a_failure(cloud: Make) -> None:
    c = cloud()

    async def tell() -> Heard:
        async with listening([500, 302]) as (url, heard):
            await c.store.write(lambda tx: add_subscriber(tx, ADMIN, url, "s3cret"), ADMIN)
            await c.responder.round()
            deliverer = Deliverer(DelivererConfig(), c.store)
            await deliverer.deliver()
            assert len(heard) == 5
            await deliverer.deliver()
            assert len(heard) == 5
            c.clock_ahead(timedelta(seconds=6))
            await deliverer.deliver()
        return heard

    c.find(c.ports[0])
    heard = c.loop.run_until_complete(tell())
    assert waiting(c) == []
    assert len(heard) == 7
    for headers, body in heard:
        signed = headers["X-Suimon-Timestamp"].encode() + b"." + body
        assert headers["X-Suimon-Signature"] == "sha256=" + hmac.new(b"s3cret", signed, sha256).hexdigest()
    kinds = sorted(json.loads(body)["kind"] for _, body in heard[2:])
    assert kinds == sorted(["finding", "evidence", "evidence", "decision", "restriction"])


def test_a_tenant_hears_his_half_at_public_addresses_only(cloud: Make) -> None:
    c = cloud()
    for url in ("https://127.0.0.1:1/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/"):
        subscribe(c, url, ALICE)
    c.find(c.ports[0])
    c.round()
    assert sorted({json.loads(one.body)["kind"] for one in waiting(c)}) == ["finding", "restriction"]
    deliver(c)
    assert waiting(c) == []


def test_a_finding_links_its_runbook(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    subscribe(c, "http://127.0.0.1:1/", ADMIN)
    c.find(c.ports[0])
    c.round()
    told = {one["kind"]: one["details"] for one in (json.loads(each.body) for each in waiting(c))}
    assert told["finding"]["runbook"] == "docs/guide/runbooks.md#mass_mail"
    assert linked(told["finding"], "https://wiki.example/r")["runbook"] == "https://wiki.example/r#mass_mail"


def test_a_tenant_is_warned_at_80_percent_once(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    for url, by in (("https://127.0.0.1:1/", ALICE), ("https://127.0.0.1:1/", BOB), ("http://127.0.0.1:1/", ADMIN)):
        subscribe(c, url, by)
    uses(c, c.ports[0], 39.9)
    minutes(c, 1)
    assert waiting(c) == []
    uses(c, c.ports[0], 0.1)
    minutes(c, 2)
    listening = {one.id: one.project_id for one in c.read(lambda tx: subscribers.list_subscribers(tx, ADMIN))}
    assert sorted(str(listening[one.subscriber_id]) for one in waiting(c)) == ["None", "red"]
    for told in (json.loads(one.body) for one in waiting(c)):
        assert told["kind"] == "warning" and told["subject"] == {"kind": "port", "id": c.ports[0]}
        assert (told["details"]["used_gb"], told["details"]["allowed_gb"]) == (40.0, 50.0)


def test_a_name_that_leads_inside_is_not_followed(cloud: Make) -> None:
    c = cloud()
    with socket.create_server(("127.0.0.1", 0)) as ear:
        subscribe(c, f"https://localhost:{ear.getsockname()[1]}/", ALICE)
        c.find(c.ports[0])
        c.round()
        deliver(c)
        ear.setblocking(False)
        with pytest.raises(BlockingIOError):
            ear.accept()
    assert [one.tries for one in waiting(c)] == [1, 1]


class Answers(AbstractResolver):
    """A name server of the tenant's own."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        at = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": 0}
        return [ResolveResult(host=each, **at) for each in self._addresses]

    async def close(self) -> None: ...


def test_of_a_name_s_addresses_those_of_the_internet_are_left() -> None:
    found = asyncio.run(PublicResolver(Answers("10.0.0.1", "8.8.8.8", "127.0.0.1")).resolve("x"))
    assert [one["host"] for one in found] == ["8.8.8.8"]
    with pytest.raises(OSError, match="no address of the Internet"):
        asyncio.run(PublicResolver(Answers("10.0.0.1")).resolve("x"))


def test_it_rests_when_all_are_told(cloud: Make, resting: Resting) -> None:
    c = cloud()
    subscribe(c, "http://127.0.0.1:1/")
    c.find(c.ports[0])
    c.round()
    left = []

    async def rests() -> None:
        left.append(await c.store.read(lambda tx: len(tx.select(Delivery))))

    deliverer = Deliverer(DelivererConfig(at_once=2, most_tries=1, look_every_s=resting.pause_s), c.store)
    assert len(waiting(c)) == 5
    c.loop.run_until_complete(resting.times(1, deliverer.run(), rests))
    assert left == [0]


def test_whoever_never_listens_is_given_up_and_the_queue_is_bounded(
    cloud: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = cloud(ports=4)
    subscribe(c, "http://127.0.0.1:1/")
    c.find(c.ports[0])
    c.round()
    first = waiting(c)
    for _ in range(DelivererConfig().most_tries):
        deliver(c)
        c.clock_ahead(timedelta(hours=1))
    assert waiting(c) == []
    monkeypatch.setattr(subscribers, "MOST_DELIVERIES", 7)
    for port in c.ports[1:]:
        c.find(port)
    c.round()
    assert len(waiting(c)) == 7
    assert not {one.id for one in first} & {one.id for one in waiting(c)}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("10.0.0.1", False), ("127.0.0.1", False), ("0.0.0.0", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("192.0.2.1", False), ("224.0.0.1", False), ("::1", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("2002:0a00:0001::", False),
        ("ff02::1", False), ("x", False),
    ],
)  # fmt: skip
def test_addresses_of_the_internet(address: str, public: bool) -> None:
    assert is_public(address) == public


TOLD: dict[str, Any] = {
    "id": "i1/3", "kind": "alarm", "at": "2026-11-21T17:00:00.000000Z", "rule": "spam",
    "words": "it does\nnot <bite>\x1b", "details": {},
}  # fmt: skip


def test_a_syslog_message_is_one_line() -> None:
    told = message(TOLD, "host 1")
    head = b"<132>1 2026-11-21T17:00:00.000000Z host1 suimon - alarm - \xef\xbb\xbf"
    assert told == head + b"i1/3 spam: it does?not <bite>?"
    assert framed(told) == str(len(told)).encode() + b" " + told
    long = message({**TOLD, "words": "\u6c34" * 5000, "details": {"runbook": "https://wiki.example/r#spam"}}, "h")
    assert long.endswith(b" (https://wiki.example/r#spam)") and len(long) <= 2048
    assert len(message({**TOLD, "words": "\u6c34" * 5000}, "h" * 400)) <= 2300


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix"])
def test_syslog_is_heard(cloud: Make, kind: str, tmp_path: Path) -> None:
    c = cloud(mode="dry_run")
    unix = kind == "unix"
    family = socket.AF_UNIX if unix else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as ear:
        ear.settimeout(20)
        ear.bind(str(tmp_path / "log") if unix else ("127.0.0.1", 0))
        if kind == "tcp":
            ear.listen(8)
        subscribe(c, f"syslog+{kind}://{tmp_path / 'log' if unix else f'127.0.0.1:{ear.getsockname()[1]}'}")
        c.find(c.ports[0])
        c.round()
        deliver(c)
        heard = ear.accept()[0].recv(4096) if kind == "tcp" else ear.recv(4096)
    assert b" suimon - " in heard
    assert heard.startswith(b"<") == (kind != "tcp")
    assert waiting(c) == []
