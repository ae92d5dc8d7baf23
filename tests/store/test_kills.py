"""Whatever is killed at whatever moment, what was acknowledged is there, whole, and no address is given twice."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.api.controller import Controller, free_port
from tests.postgresql import PrivateCluster, name_of

WRITERS = 16
KILLS = 4
PATIENCE_S = 120
GAPS = "SELECT max(revision) - count(DISTINCT revision) FROM changes"
HALVES = "SELECT count(*) FROM ports FULL JOIN ip_allocations ON port_id = id WHERE port_id IS NULL OR id IS NULL"
_AWAY = (aiohttp.ClientError, TimeoutError, OSError)


class Cloud:
    """Clients of one or several controllers, and what these acknowledged to them."""

    def __init__(self, urls: list[str], account: Path) -> None:
        self.urls = urls
        self.password = account.read_text().split('password: "')[1].split('"')[0]
        self.acknowledged: dict[str, str] = {}
        """Port id → address."""
        self.stopping = False

    async def write(self, session: aiohttp.ClientSession, number: int, network: str, token: str) -> None:
        """One port after the other, at whichever controller answers."""
        n = number
        while not self.stopping:
            url, n = self.urls[n % len(self.urls)], n + 1
            body = {"port": {"network_id": network, "name": f"w{number}"}}
            try:
                async with session.post(f"{url}/v2.0/ports", json=body, headers={"X-Auth-Token": token}) as answer:
                    told = await answer.json()
            except _AWAY:
                await asyncio.sleep(0.05)
                continue
            assert answer.status in (201, 503), told
            if answer.status == 201:
                (fixed,) = told["port"]["fixed_ips"]
                self.acknowledged[told["port"]["id"]] = fixed["ip_address"]

    async def token(self, session: aiohttp.ClientSession) -> str:
        user = {"name": "admin", "domain": {"name": "Default"}, "password": self.password}
        scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        async with session.post(f"{self.urls[0]}/identity/v3/auth/tokens", json=body) as answer:
            return answer.headers["X-Subject-Token"]

    async def until_acknowledged(self, more: int) -> None:
        goal = len(self.acknowledged) + more
        while len(self.acknowledged) < goal:  # noqa: ASYNC110 (within the test's patience)
            await asyncio.sleep(0.01)


async def kill_under_load(cloud: Cloud, controllers: list[Controller], random: Random) -> list[dict[str, object]]:
    """All ports, as the API tells them after the last kill."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(timeout=timeout) as session:
        headers = {"X-Auth-Token": await cloud.token(session)}

        async def made(method: str, path: str, body: dict[str, object]) -> Any:
            async with session.request(method, f"{cloud.urls[0]}/v2.0/{path}", json=body, headers=headers) as answer:
                return next(iter((await answer.json()).values()))

        network = await made("POST", "networks", {"network": {}})
        await made("PUT", f"quotas/{network['project_id']}", {"quota": {"port": -1}})
        subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/16"}
        await made("POST", "subnets", {"subnet": subnet})
        async with asyncio.TaskGroup() as writers:
            for number in range(WRITERS):
                writers.create_task(cloud.write(session, number, network["id"], headers["X-Auth-Token"]))
            for n in range(KILLS):
                await cloud.until_acknowledged(20)
                await asyncio.sleep(random.random() / 20)
                victim = controllers[n % len(controllers)]
                victim.stop(signal.SIGKILL)
                await asyncio.to_thread(victim.start)
            await cloud.until_acknowledged(20)
            cloud.stopping = True
        async with session.get(f"{cloud.urls[-1]}/v2.0/ports", headers=headers) as answer:
            found: list[dict[str, object]] = (await answer.json())["ports"]
            return found


def check(cloud: Cloud, ports: list[dict[str, object]]) -> None:
    told: dict[str, Any] = {str(port["id"]): port["fixed_ips"] for port in ports}
    addresses = [fixed["ip_address"] for fixed_ips in told.values() for fixed in fixed_ips]
    assert cloud.acknowledged.keys() <= told.keys(), "an acknowledged port is lost"
    assert len(set(addresses)) == len(addresses) == len(told), "an address was given twice, or a port has none"
    for id_, address in cloud.acknowledged.items():
        assert [fixed["ip_address"] for fixed in told[id_]] == [address]


@pytest.fixture
def random() -> Random:
    """When to kill."""
    return Random(1)


def test_either_of_two_controllers_on_postgresql(tmp_path: Path, random: Random) -> None:
    with PrivateCluster(durable=True) as server, ExitStack() as running:
        url, file = server.url(), tmp_path / "url"
        file.write_text(url)
        options = ("--database-file", str(file), "--log-level", "warning")
        controllers = [Controller(tmp_path / name, free_port(), free_port(), *options) for name in ("one", "two")]
        for controller in controllers:
            controller.start()
            running.callback(controller.stop, signal.SIGKILL)
        cloud = Cloud([controller.url for controller in controllers], tmp_path / "one" / "clouds.yaml")
        ports = asyncio.run(kill_under_load(cloud, controllers, random))
        check(cloud, ports)
        with server.connect(name_of(url)) as connection:
            assert connection.execute(GAPS).fetchall() == [(0,)]
            assert connection.execute(HALVES).fetchall() == [(0,)]


def test_one_controller_with_a_file(tmp_path: Path, random: Random) -> None:
    controller = Controller(tmp_path / "state", free_port(), free_port(), "--log-level", "warning")
    controller.start()
    try:
        cloud = Cloud([controller.url], tmp_path / "state" / "clouds.yaml")
        check(cloud, asyncio.run(kill_under_load(cloud, [controller], random)))
    finally:
        controller.stop(signal.SIGKILL)
