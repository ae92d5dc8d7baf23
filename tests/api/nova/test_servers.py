"""Nova's servers as tables: from a real HTTP server, page by page, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from suimon.api.nova.client import Nova
from suimon.api.nova.config import Config
from suimon.api.nova.servers import Servers, ServersConfig
from suimon.enforcement.gathering import Gatherer, GathererConfig
from suimon.model.fact_tables import FactTable
from suimon.policy.changes import Row
from suimon.resources import fact_tables
from tests.enforcement.policed import Policed

ADDRESS = {"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01", "OS-EXT-IPS:type": "fixed"}


def server(id_: str, **more: object) -> dict[str, object]:
    return {
        "id": id_, "name": f"n-{id_}", "hostId": "h", "status": "ACTIVE", "tenant_id": "red", "user_id": "u",
        "image": "", "flavor": {"id": "small"}, "OS-EXT-AZ:availability_zone": "az1", "created": "2026-11-21T00:00:00Z",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": "h1", "addresses": {"net": [ADDRESS]}, "tags": ["pci"], **more,
    }  # fmt: skip


class FakeNova:
    """Answers with what it is told to; two servers a page."""

    def __init__(self) -> None:
        self.servers: list[Any] = [server(str(number)) for number in range(5)]
        self.statuses: dict[str, int] = {}
        self.lists: dict[str, Any] = {
            "flavors": [
                {"id": "small", "name": "s", "vcpus": 1, "ram": 512, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 0}
            ],
            "hypervisors": [{"id": 1, "hypervisor_hostname": "h1", "state": "up", "status": "enabled"}],
            "services": [{"id": 3, "binary": "nova-compute", "host": "h1", "zone": "az1", "status": "enabled"}],
            "availabilityZoneInfo": [{"zoneName": "az1", "zoneState": {"available": True}, "hosts": None}],
        }
        self.paths: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        self.paths.append(request.path_qs)
        assert request.headers["OpenStack-API-Version"] == "compute 2.26"
        if request.headers["X-Auth-Token"] != "secret" or what in self.statuses:
            return web.json_response({}, status=self.statuses.get(what, 401))
        if what == "servers/detail":
            marker = request.query.get("marker")
            first = [str(one["id"]) for one in self.servers].index(marker) + 1 if marker else 0
            page = self.servers[first : first + 2]
            links = [{"rel": "next", "href": "http://elsewhere/"}] if first + 2 < len(self.servers) else []
            return web.json_response({"servers": page, **({"servers_links": links} if links else {})})
        name = {"flavors/detail": "flavors", "os-availability-zone": "availabilityZoneInfo"}.get(what, what[3:])
        return web.json_response({name: self.lists[name]})


class Stage(Policed):
    """A cloud beside a Nova."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.nova = FakeNova()
        self._token = directory / "token"
        self._token.write_text("secret\n")

    def play(self, *scenes: Callable[[FakeNova], None]) -> None:
        """A reading after each of these."""

        async def all_of_it() -> None:
            app = web.Application()
            app.router.add_get("/v2.1/{what:.*}", self.nova.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2.1"
            config = Config(token_file=str(self._token), endpoint_override=url, timeout_s=10.0)
            servers = Servers(ServersConfig(), Nova(config))
            try:
                for scene in scenes:
                    scene(self.nova)
                    await Gatherer(GathererConfig(), self.store, [servers]).round(servers)
            finally:
                await runner.cleanup()

        self.loop.run_until_complete(all_of_it())

    def tables(self) -> dict[str, FactTable]:
        return {one.name: one for one in self.read(fact_tables.list_tables)}

    def held(self, table: str) -> list[Row]:
        return self.read(lambda tx: self.engines.ask(tx, "", lambda scope: scope.engine.rows("nova", table)))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def nothing(_: FakeNova) -> None:
    pass


def test_servers_are_facts_with_congress_columns(stage: Stage) -> None:
    stage.play(nothing)
    assert stage.nova.paths == [], "nobody asked"
    stage.policy("zones", 'error(x) :- nova:servers(id=x, zone="az1", flavor_id="small", image_id=null)')
    stage.play(nothing)
    assert stage.rows("zones") == [(str(number),) for number in range(5)]
    assert sum("servers/detail" in path for path in stage.nova.paths) == 3
    assert stage.held("servers.addresses")[0] == ("0", "net", "10.0.0.5", 4, "fa:16:3e:00:00:01", "fixed")
    assert stage.held("tags")[4] == ("4", "pci") and stage.held("hypervisors") == [("h1", 1, "up", "enabled")]
    assert stage.held("flavors") == [("small", "s", 1, 512, 1, 0, None)]
    assert stage.held("availability_zones") == [("az1", "available")]
    assert stage.held("services") == [(3, "nova-compute", "h1", "az1", "enabled", None, None, None)]


def broken(what: str, value: Any) -> Callable[[FakeNova], None]:
    return lambda nova: nova.statuses.update({what: value})


def nameless(nova: FakeNova) -> None:
    nova.servers[4] = {"id": 5}


def fewer(nova: FakeNova) -> None:
    nova.servers = [server("9")]


@pytest.mark.parametrize(
    ("scene", "words"),
    [(broken("servers/detail", 500), "500"), (broken("servers/detail", 401), "401"), (nameless, "Expected `str`")],
)
def test_a_reading_that_breaks_off_leaves_what_was_known(
    stage: Stage, scene: Callable[[FakeNova], None], words: str
) -> None:
    stage.policy("all", "error(x) :- nova:servers(id=x)")
    stage.play(nothing, scene)
    assert len(stage.rows("all")) == 5
    assert words in stage.tables()["servers"].problem and stage.tables()["flavors"].problem == ""
    stage.nova.statuses.clear()
    stage.play(fewer)
    assert stage.rows("all") == [("9",)] and stage.tables()["servers"].problem == ""
