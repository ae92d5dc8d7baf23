"""Many clients at once, at a real controller: what one may have, one gets; nothing dangles, nothing is lost, no 5xx.

On SQLite and on PostgreSQL, there with two processes that know of each other only by the database.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.cloud import login_body
from tests.api.controller import Controller, started
from tests.postgresql import cluster

CLIENTS = 64
ROUNDS = 4
PATIENCE_S = 180
ROOM = {f"10.0.0.{n}" for n in range(2, 255)}
"""What a /24 has for ports when its first address is the gateway's."""
FULL = (409, "IpAddressGenerationFailure")

Told = tuple[int, str, Any]
"""Status, the error's type or "", and what was in the body under its one key."""


class Clients:
    """As many as call at the same time, all as one admin."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Told:
        async with self.session.request(method, f"{self.url}/v2.0/{path}", json=body, headers=headers) as answer:
            told = await answer.json() if answer.status != 204 else {"": None}
            assert answer.status < 500, (method, path, answer.status, told)
            thing = next(iter(told.values()))
            return answer.status, thing["type"] if answer.status >= 400 else "", thing

    async def made(self, path: str, **fields: object) -> Any:
        key = path.replace("-", "_").removesuffix("s")
        status, _, thing = await self.call("POST", path, {key: fields})
        assert status == 201, thing
        return thing

    async def network(self, cidr: str = "10.0.0.0/24", **fields: object) -> tuple[str, str]:
        """With a subnet; the ids of both."""
        network = await self.made("networks", **fields)
        subnet = await self.made("subnets", network_id=network["id"], ip_version=4, cidr=cidr)
        return network["id"], subnet["id"]

    async def listed(self, path: str, query: str = "") -> list[Any]:
        _, _, things = await self.call("GET", f"{path}{query}")
        return list(things)


async def at_once(*calls: Coroutine[Any, Any, Told]) -> list[tuple[int, str]]:
    """The answers' statuses and types, in order of the calls."""
    return [told[:2] for told in await asyncio.gather(*calls)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def controller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    folder = tmp_path_factory.mktemp("races")
    if request.param == "sqlite":
        with started(folder / "state", "--log-level", "warning") as made:
            yield made
        return
    url, file = cluster().url(), folder / "url"
    file.write_text(url)
    with started(folder / "state", "--database-file", str(file), "--workers", "2", "--log-level", "warning") as made:
        yield made
        made.stop()
    cluster().drop(url)


@asynccontextmanager
async def connected(controller: Controller) -> AsyncIterator[Clients]:
    password = (controller.state / "clouds.yaml").read_text().split('password: "')[1].split('"')[0]
    body = login_body("admin", password, {"project": {"name": "admin", "domain": {"name": "Default"}}})
    connector, timeout = aiohttp.TCPConnector(limit=CLIENTS), aiohttp.ClientTimeout(total=PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        async with session.post(f"{controller.url}/identity/v3/auth/tokens", json=body) as answer:
            session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
            project = (await answer.json())["token"]["project"]["id"]
        clients = Clients(controller.url, session)
        quotas = dict.fromkeys(("network", "subnet", "port", "router", "floatingip", "security_group"), -1)
        assert (await clients.call("PUT", f"quotas/{project}", {"quota": quotas}))[0] == 200
        yield clients
        await assert_nothing_dangles(clients)
    assert_nothing_dangles_below(controller.state)


async def assert_nothing_dangles(clients: Clients) -> None:
    """Whatever the API shows names only what the API shows."""
    paths = ("networks", "subnets", "ports", "routers", "security-groups", "floatingips")
    things = dict(zip(paths, await asyncio.gather(*(clients.listed(path) for path in paths)), strict=True))
    ids = {path: {thing["id"] for thing in listed} for path, listed in things.items()}
    for port in things["ports"]:
        assert port["network_id"] in ids["networks"]
        assert {fixed["subnet_id"] for fixed in port["fixed_ips"]} <= ids["subnets"]
        assert set(port["security_groups"]) <= ids["security-groups"]
        if port["device_owner"] == "network:router_interface":
            assert port["device_id"] in ids["routers"]
        if port["device_owner"] == "network:floatingip":
            assert port["device_id"] in ids["floatingips"]
    assert {subnet["network_id"] for subnet in things["subnets"]} <= ids["networks"]
    for network in things["networks"]:
        assert set(network["subnets"]) <= ids["subnets"]
    for floating in things["floatingips"]:
        assert floating["port_id"] in {None, *ids["ports"]}
        assert floating["router_id"] in {None, *ids["routers"]}
    addresses = Counter((f["subnet_id"], f["ip_address"]) for port in things["ports"] for f in port["fixed_ips"])
    assert set(addresses.values()) <= {1}


def assert_nothing_dangles_below(state: Path) -> None:
    """PostgreSQL never lets it; SQLite can be asked."""
    if (state / "suimon.db").exists():
        with sqlite3.connect(f"file:{state}/suimon.db?mode=ro", uri=True) as connection:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


def race(controller: Controller, run: Callable[[Clients], Awaitable[None]], rounds: int = ROUNDS) -> None:
    async def repeated() -> None:
        async with connected(controller) as clients:
            for _ in range(rounds):
                await run(clients)

    asyncio.run(repeated())


async def fill(clients: Clients, network: str, count: int, got: list[str]) -> None:
    """Ports, `count` at a time, until the answer is that there is no room."""
    one = {"network_id": network}
    body = {"port": one} if count == 1 else {"ports": [one] * count}
    while True:
        status, kind, made = await clients.call("POST", "ports", body)
        if status != 201:
            assert (status, kind) == FULL, made
            return
        got += [port["fixed_ips"][0]["ip_address"] for port in (made if count > 1 else [made])]


async def come_and_go(clients: Clients, network: str) -> None:
    for _ in range(4):
        status, kind, port = await clients.call("POST", "ports", {"port": {"network_id": network}})
        assert (status, kind) in ((201, ""), FULL), port
        if status == 201:
            assert (await clients.call("DELETE", f"ports/{port['id']}"))[0] == 204


@pytest.mark.parametrize("counts", [(1,), (1, 5)], ids=["one_by_one", "in_bulk"])
@pytest.mark.parametrize("others", [0, CLIENTS // 2], ids=["alone", "while_others_come_and_go"])
def test_64_clients_share_the_addresses_of_a_subnet(
    controller: Controller, counts: tuple[int, ...], others: int
) -> None:
    async def run(clients: Clients) -> None:
        network, _ = await clients.network()
        got: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            for n in range(CLIENTS - others):
                tasks.create_task(fill(clients, network, counts[n % len(counts)], got))
            for _ in range(others):
                tasks.create_task(come_and_go(clients, network))
        await fill(clients, network, 1, got)  # What was free for a moment only when all others had given up.
        assert Counter(got) == Counter(ROOM)
        ports = await clients.listed("ports", f"?network_id={network}&fields=fixed_ips")
        assert Counter(port["fixed_ips"][0]["ip_address"] for port in ports) == Counter(ROOM)

    race(controller, run, 1)


def test_one_of_many_deletes_is_the_one(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        network, subnet = await clients.network()
        port = await clients.made("ports", network_id=network)
        router = await clients.made("routers", name="r")
        group = await clients.made("security-groups", name="g")
        for path, id_ in (
            ("ports", port["id"]), ("subnets", subnet), ("networks", network), ("routers", router["id"]),
            ("security-groups", group["id"]),
        ):  # fmt: skip
            told = await at_once(*(clients.call("DELETE", f"{path}/{id_}") for _ in range(8)))
            assert Counter(status for status, _ in told) == {204: 1, 404: 7}, path

    race(controller, run)


def test_a_network_goes_or_has_ports(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        network, _ = await clients.network()
        port = {"network_id": network}
        calls = [clients.call("POST", "ports", {"port": port}) for _ in range(12)]
        calls.insert(4, clients.call("DELETE", f"networks/{network}"))
        calls.insert(8, clients.call("POST", "ports", {"ports": [port] * 5}))
        told = await at_once(*calls)
        gone = told.pop(4)
        assert gone in ((204, ""), (409, "NetworkInUse"))
        assert set(told) <= {(201, ""), (404, "NetworkNotFound")}
        ports = await clients.listed("ports", f"?network_id={network}")
        assert bool(ports) is (gone[0] == 409)

    race(controller, run)


def test_a_subnet_goes_or_has_ports_and_interfaces(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        network, subnet = await clients.network()
        router = (await clients.made("routers", name="r"))["id"]
        fixed = {"network_id": network, "fixed_ips": [{"subnet_id": subnet}]}
        calls = [clients.call("POST", "ports", {"port": fixed}) for _ in range(6)]
        calls.insert(3, clients.call("DELETE", f"subnets/{subnet}"))
        calls.append(clients.call("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}))
        calls.append(clients.call("DELETE", f"routers/{router}"))
        told = await at_once(*calls)
        assert {status for status, _ in told} <= {200, 201, 204, 400, 404, 409}
        ports = await clients.listed("ports", f"?fixed_ips=subnet_id%3D{subnet}")
        assert bool(ports) is (told[3] == (409, "SubnetInUse"))

    race(controller, run)


def test_a_security_group_goes_or_is_joined(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        network, _ = await clients.network()
        port = (await clients.made("ports", network_id=network))["id"]
        group = (await clients.made("security-groups", name="g"))["id"]
        join = {"port": {"security_groups": [group]}}
        new = {"port": {"network_id": network, "security_groups": [group]}}
        rule = {"security_group_rule": {"security_group_id": group, "remote_group_id": group, "direction": "ingress"}}
        told = await at_once(
            clients.call("PUT", f"ports/{port}", join), clients.call("POST", "security-group-rules", rule),
            clients.call("DELETE", f"security-groups/{group}"), clients.call("POST", "ports", new),
        )  # fmt: skip
        gone = told.pop(2)
        assert gone in ((204, ""), (409, "SecurityGroupInUse"))
        assert set(told) <= {(200, ""), (201, ""), (404, "SecurityGroupNotFound")}
        members = await clients.listed("ports", f"?security_groups={group}")
        assert bool(members) is (gone[0] == 409)

    race(controller, run)


def test_one_router_has_the_gateway_of_a_subnet(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        _, subnet = await clients.network()
        routers = [(await clients.made("routers", name=f"r{n}"))["id"] for n in range(6)]
        body = {"subnet_id": subnet}
        told = await at_once(*(clients.call("PUT", f"routers/{id_}/add_router_interface", body) for id_ in routers))
        assert Counter(status for status, _ in told) == {200: 1, 409: 5}
        first = routers[told.index((200, ""))]
        told = await at_once(
            *(clients.call("PUT", f"routers/{first}/remove_router_interface", body) for _ in range(4)),
            clients.call("DELETE", f"routers/{first}"),
        )
        assert Counter(status for status, _ in told[:4]) == {200: 1, 404: 3}

    race(controller, run)


def test_a_port_has_one_floating_ip_and_a_floating_ip_one_port(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        outside, _ = await clients.network("192.0.2.0/24", **{"router:external": True})
        network, subnet = await clients.network()
        router = (await clients.made("routers", external_gateway_info={"network_id": outside}))["id"]
        assert (await clients.call("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}))[0] == 200
        ports = [(await clients.made("ports", network_id=network))["id"] for _ in range(4)]
        floating = [(await clients.made("floatingips", floating_network_id=outside))["id"] for _ in range(4)]

        def join(one: int, port: int) -> Coroutine[Any, Any, Told]:
            return clients.call("PUT", f"floatingips/{floating[one]}", {"floatingip": {"port_id": ports[port]}})

        told = await at_once(*(join(n, 0) for n in range(4)))
        assert Counter(told) == {(200, ""): 1, (409, "FloatingIPPortAlreadyAssociated"): 3}
        holder = told.index((200, ""))
        told = await at_once(*(join(holder, n) for n in range(1, 4)))
        assert set(told) == {(200, "")}
        told = await at_once(
            join(holder, 1), clients.call("DELETE", f"ports/{ports[1]}"), join(holder, 1),
            clients.call("DELETE", f"floatingips/{floating[(holder + 1) % 4]}"), join((holder + 1) % 4, 2),
        )  # fmt: skip
        assert (told[1], told[3]) == ((204, ""), (204, ""))
        assert set(told) <= {
            (200, ""), (204, ""), (404, "PortNotFound"), (404, "FloatingIPNotFound"),
            (409, "FloatingIPPortAlreadyAssociated"),
        }  # fmt: skip

    race(controller, run)


def test_one_writer_meets_the_revision_it_asked_for(controller: Controller) -> None:
    async def run(clients: Clients) -> None:
        network, _ = await clients.network()
        _, _, before = await clients.call("GET", f"networks/{network}")
        match = {"If-Match": f"revision_number={before['revision_number']}"}
        calls = [clients.call("PUT", f"networks/{network}", {"network": {"name": f"n{n}"}}, **match) for n in range(12)]
        told = await asyncio.gather(*calls, clients.call("DELETE", f"networks/{network}", **match))
        kinds = Counter((status, kind) for status, kind, _ in told)
        assert kinds[200, ""] + kinds[204, ""] == 1
        if kinds[200, ""]:
            assert kinds[412, "RevisionNumberConstraintFailed"] == 12
            (winner,) = (thing for status, _, thing in told if status == 200)
            assert (await clients.call("GET", f"networks/{network}"))[2]["name"] == winner["name"]

    race(controller, run)


def test_what_there_is_once_one_gets(controller: Controller) -> None:
    """An address asked for by name, a MAC, a range of a network, a project's default group, the last of a quota."""

    async def run(clients: Clients) -> None:
        network, _ = await clients.network()

        async def raced(path: str, key: str, fields: dict[str, object], count: int = 8) -> Counter[tuple[int, str]]:
            return Counter(await at_once(*(clients.call("POST", path, {key: fields}) for _ in range(count))))

        port = {"network_id": network}
        fixed = {**port, "fixed_ips": [{"ip_address": "10.0.0.9"}]}
        assert await raced("ports", "port", fixed) == {(201, ""): 1, (409, "IpAddressAlreadyAllocated"): 7}
        mac = {**port, "mac_address": "fa:16:3e:00:00:07"}
        assert await raced("ports", "port", mac) == {(201, ""): 1, (409, "MacAddressInUse"): 7}
        subnet = {**port, "ip_version": 4, "cidr": "10.5.0.0/24"}
        assert await raced("subnets", "subnet", subnet) == {(201, ""): 1, (400, "InvalidInput"): 7}
        project = network.replace("-", "")
        assert await raced("ports", "port", {**port, "project_id": project}) == {(201, ""): 8}
        groups = await clients.listed("security-groups", f"?project_id={project}")
        assert [group["name"] for group in groups] == ["default"]
        assert (await clients.call("PUT", f"quotas/{project}", {"quota": {"port": 10}}))[0] == 200
        assert await raced("ports", "port", {**port, "project_id": project}) == {(201, ""): 2, (409, "OverQuota"): 6}

    race(controller, run, 2)
