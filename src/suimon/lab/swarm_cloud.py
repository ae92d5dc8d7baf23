"""The network API as a swarm uses it: fills the cloud in bulk, and changes it a little at a time."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import msgspec

from suimon.lab.error import LabError

NETWORKS: Final = 50
"""Of layout a."""
NETWORKS_ON_HOST: Final = 10
BULK: Final = 250
_RESOURCES: Final = ("network", "subnet", "port", "router", "security_group", "security_group_rule")
Json = dict[str, Any]


class SwarmCloud:
    """A client with one kept connection, as the admin."""

    def __init__(self, session: aiohttp.ClientSession, project_id: str) -> None:
        self._session = session
        self._project_id = project_id
        self.networks: list[str] = []
        self.groups: list[str] = []
        self._hosts: Sequence[str] = ()
        self._numbers = itertools.count()
        self._churned: deque[str] = deque()

    @staticmethod
    @contextlib.asynccontextmanager
    async def at(url: str, state: Path) -> AsyncIterator[SwarmCloud]:
        """Logged in with the account that the first start left in the state directory."""
        auth = msgspec.yaml.decode((state / "clouds.yaml").read_bytes())["clouds"]["suimon"]["auth"]
        user = {"name": auth["username"], "password": auth["password"], "domain": {"name": "Default"}}
        scope = {"project": {"name": auth["project_name"], "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=120)) as session:
            async with session.post("/identity/v3/auth/tokens", json=body) as answer:
                project = (await answer.json())["token"]["project"]["id"]
                session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
            yield SwarmCloud(session, project)

    async def prepare(self, layout: Literal["a", "b"]) -> None:
        """Networks, and in layout a a router and a security group for each."""
        await self.call("PUT", f"/v2.0/quotas/{self._project_id}", {"quota": dict.fromkeys(_RESOURCES, -1)})
        if layout == "b":
            await self._network("10.0.0.0/15")
            return
        for number in range(NETWORKS):
            subnet_id = await self._network(f"10.{number}.0.0/16")
            group = await self.call("POST", "/v2.0/security-groups", {"security_group": {"name": f"g{number}"}})
            group_id = group["security_group"]["id"]
            rule = {"security_group_id": group_id, "direction": "ingress", "remote_group_id": group_id}
            await self.call("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
            self.groups.append(group_id)
            router = await self.call("POST", "/v2.0/routers", {"router": {"name": f"r{number}"}})
            way = f"/v2.0/routers/{router['router']['id']}/add_router_interface"
            await self.call("PUT", way, {"subnet_id": subnet_id})

    async def fill(self, hosts: Sequence[str], ports: int) -> AsyncIterator[int]:
        """So many more ports, spread over the hosts, in bulk calls; yields how many of them there are."""
        self._hosts, made = hosts, 0
        while made < ports:
            bodies = [self._port(next(self._numbers)) for _ in range(min(BULK, ports - made))]
            await self.call("POST", "/v2.0/ports", {"ports": bodies})
            made += len(bodies)
            yield made

    async def churn(self, count: int) -> None:
        """One more port a time, or one of those less."""
        for _ in range(count):
            if len(self._churned) >= 20:
                await self.call("DELETE", f"/v2.0/ports/{self._churned.popleft()}")
            else:
                made = await self.call("POST", "/v2.0/ports", {"port": self._port(next(self._numbers))})
                self._churned.append(made["port"]["id"])

    async def join_token(self, host: str) -> str:
        made = await self.call("POST", "/operations/v1/hosts/tokens", {"host": host, "lifetime_s": 3600})
        return str(made["token"]["secret"])

    async def revision(self) -> int:
        return int((await self.call("GET", "/healthz"))["revision"])

    def _port(self, number: int) -> Json:
        """The ports of a host are in as few networks as the layout says, as many in each."""
        host = number % len(self._hosts)
        name = {"binding:host_id": self._hosts[host], "name": f"port{number}", "device_id": f"vm{number}"}
        if len(self.networks) == 1:
            return {**name, "network_id": self.networks[0]}
        at = (host * NETWORKS_ON_HOST + number // len(self._hosts) % NETWORKS_ON_HOST) % NETWORKS
        return {**name, "network_id": self.networks[at], "security_groups": [self.groups[at]]}

    async def _network(self, cidr: str) -> str:
        """The id of its subnet."""
        name = f"n{len(self.networks)}"
        network = (await self.call("POST", "/v2.0/networks", {"network": {"name": name}}))["network"]["id"]
        self.networks.append(network)
        wanted = {"network_id": network, "ip_version": 4, "cidr": str(ipaddress.ip_network(cidr))}
        return str((await self.call("POST", "/v2.0/subnets", {"subnet": wanted}))["subnet"]["id"])

    async def call(self, method: str, path: str, body: Json | None = None) -> Any:
        try:
            async with self._session.request(method, path, json=body) as answer:
                raw = await answer.read()
                if answer.status >= 400:
                    raise LabError(f"{method} {path}: {answer.status} {raw[:300].decode(errors='replace')}")
                return await answer.json() if raw else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LabError(f"{method} {path}: {str(error) or type(error).__name__}") from error
