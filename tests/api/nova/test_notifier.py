"""Nova is told: against a Nova and a Keystone played by a real server, which fail, hang and come back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from suimon.api.nova.client import Nova
from suimon.api.nova.config import Config, NovaConfigError, read_config
from suimon.api.nova.notifier import Notifier, NotifierConfig
from suimon.model import view
from suimon.resources import nova_events
from suimon.resources.hosts import set_port_status
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.resources.world import ADMIN, World

SERVER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PATIENT_S = 3.0
"""How long who asks Nova waits for it, where it must not be what a slow machine takes."""
FAST = NotifierConfig(gather_s=0.01, first_retry_s=0.02, longest_retry_s=0.05)


class FakeNova:
    """What it is asked, and how it answers: `answers` are given once each, then it is well."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self.batches: list[int] = []
        self.answers: list[int | str] = []
        self.tokens = 0
        self.valid = ""
        self.url = ""
        self.arrived = asyncio.Event()
        self.changed = asyncio.Event()

    async def token(self, request: web.Request) -> web.Response:
        asked = await request.json()
        user = asked["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != ("neutron", "pa%ss"):
            return web.json_response({}, status=401)
        self.tokens += 1
        self.valid = f"token-{self.tokens}"
        endpoints = [
            {"interface": "internal", "region_id": "RegionOne", "url": "http://127.0.0.1:1/"},
            {"interface": "public", "region_id": "Elsewhere", "url": "http://127.0.0.1:1/"},
            {"interface": "public", "region_id": "RegionOne", "url": f"{self.url}/nova/v2.1"},
        ]
        catalog = [{"type": "network", "endpoints": []}, {"type": "compute", "endpoints": endpoints}]
        body = {"token": {"catalog": catalog}}
        return web.json_response(body, status=201, headers={"X-Subject-Token": self.valid})

    async def events(self, request: web.Request) -> web.Response:
        self.arrived.set()
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await asyncio.sleep(30)
        if request.headers.get("X-Auth-Token") != self.valid:
            answer = 401
        events = (await request.json())["events"]
        if answer in (200, 207, 404, 422):
            self.heard += [(one["name"].removeprefix("network-"), one["server_uuid"], one["tag"]) for one in events]
            assert {one["status"] for one in events} == {"completed"}
            self.batches.append(len(events))
            self.changed.set()
        codes = [{**one, "code": 422 if answer == 207 else 200} for one in events]
        assert isinstance(answer, int)
        return web.json_response({"events": codes}, status=answer)

    async def until(self, count: int) -> list[str]:
        """Waits until it has heard so many; their names."""
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()
        return [name for name, _, _ in self.heard]


class Stage(World):
    """A cloud with one instance's port on h1, and Nova beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.host("h1")
        self.host("h2")
        self.net = self.network()
        self.subnet(self.net)
        self.vif = self.instance()

    def instance(self, server: str = SERVER) -> str:
        body = {"device_owner": "compute:nova", "device_id": server, "binding:host_id": "h1"}
        return str(self.port(self.net, ADMIN, project_id="red", **body)["id"])

    async def status(self, *words: str, port: str = "", host: str = "h1") -> None:
        for word in words:
            report = view.PortReport(port or self.vif, word)  # type: ignore[arg-type]
            await self.store.write(lambda tx, report=report: set_port_status(tx, host, [report]), ADMIN)

    async def settled(self) -> None:
        """Waits until what Nova heard is written down."""
        while await self.store.read(_is_owed):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def play(self, scene: Callable[[FakeNova, Config], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            nova = FakeNova()
            app = web.Application()
            app.router.add_post("/keystone/v3/auth/tokens", nova.token)
            app.router.add_post("/nova/v2.1/os-server-external-events", nova.events)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            nova.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            config = Config(
                auth_url=f"{nova.url}/keystone", username="neutron", password="pa%ss", project_name="service",
                region_name="RegionOne", timeout_s=0.3,
            )  # fmt: skip
            try:
                async with asyncio.timeout(30):
                    await scene(nova, config)
            finally:
                await runner.cleanup()

        self.loop.run_until_complete(all_of_it())


def _is_owed(tx: Tx) -> bool:
    return bool(nova_events.owed(tx, 0, restless=False).notices)


@asynccontextmanager
async def told(store: Store, config: Config, how: NotifierConfig = FAST, **more: Any) -> Any:
    """While a notifier runs. It has begun when its position is written."""
    from suimon.model.things import NovaPosition

    running = asyncio.create_task(Notifier(how, store, Nova(config), **more).run())
    try:
        while await store.read(lambda tx: tx.get(NovaPosition, "only")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


async def changed(stage: Stage, port: str, **body: Any) -> None:
    from suimon.resources.registry import RESOURCES

    resource = RESOURCES["ports"]
    wanted = resource.spec.for_update({key.replace("__", ":"): value for key, value in body.items()}, ADMIN)
    await stage.store.write(lambda tx: resource.update(tx, ADMIN, port, wanted, None), ADMIN)  # type: ignore[misc]


def test_the_life_of_a_port(stage: Stage) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        async with told(stage.store, config):
            await stage.status("ACTIVE")
            assert await nova.until(1) == ["vif-plugged"]
            assert nova.heard == [("vif-plugged", SERVER, stage.vif)]
            await stage.status("DOWN")
            assert (await nova.until(2))[1:] == ["vif-unplugged"]
            await changed(stage, stage.vif, fixed_ips=[{"ip_address": "10.0.0.77"}])
            assert (await nova.until(3))[2:] == ["changed"]
            await changed(stage, stage.vif, name="nothing to Nova")
            await stage.store.write(lambda tx: deleted(tx, stage.vif), ADMIN)
            assert (await nova.until(4))[3:] == ["vif-deleted"]

    stage.play(scene)


def deleted(tx: Any, port: str) -> None:
    from suimon.resources.ports import delete_port

    delete_port(tx, ADMIN, port)


def test_what_is_there_at_first_is_known_already(stage: Stage) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        await stage.status("ACTIVE")
        async with told(stage.store, config):
            await stage.status("DOWN")
            assert await nova.until(1) == ["vif-unplugged"]

    stage.play(scene)


def test_a_restart_says_only_what_happened_meanwhile(stage: Stage) -> None:
    other = stage.instance(OTHER)

    async def scene(nova: FakeNova, config: Config) -> None:
        async with told(stage.store, config):
            await stage.status("ACTIVE")
            await stage.status("ACTIVE", port=other)
            await nova.until(2)
            await stage.settled()
        await stage.status("DOWN", "ACTIVE", "DOWN")
        async with told(stage.store, config):
            assert (await nova.until(3))[2:] == ["vif-unplugged"]
            await stage.status("DOWN", port=other)
            await nova.until(4)
        assert nova.heard[2:] == [("vif-unplugged", SERVER, stage.vif), ("vif-unplugged", OTHER, other)]

    stage.play(scene)


@pytest.mark.parametrize("failures", [[500, 503, 502], ["hang"], [401, 401], [403], [429], [409]])
def test_until_nova_has_heard(stage: Stage, failures: list[int | str]) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        nova.answers = failures
        async with told(stage.store, config):
            await stage.status("ACTIVE")
            assert await nova.until(1) == ["vif-plugged"]
        assert not nova.answers

    stage.play(scene)


@pytest.mark.parametrize("answer", [207, 404, 422])
def test_what_nova_does_not_know_is_said_once(stage: Stage, answer: int) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        nova.answers = [answer]
        async with told(stage.store, config):
            await stage.status("ACTIVE")
            await nova.until(1)
            await stage.status("DOWN")
            assert await nova.until(2) == ["vif-plugged", "vif-unplugged"]

    stage.play(scene)


def test_a_token_that_ended_is_replaced(stage: Stage) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        async with told(stage.store, config):
            await stage.status("ACTIVE")
            await nova.until(1)
            nova.valid = "revoked"
            await stage.status("DOWN")
            await nova.until(2)
        assert nova.tokens == 2

    stage.play(scene)


def test_the_api_does_not_wait_for_a_nova_that_is_away(stage: Stage) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        nova.answers = ["hang"]
        async with told(stage.store, msgspec.structs.replace(config, timeout_s=PATIENT_S)):
            await stage.status("ACTIVE")
            await nova.arrived.wait()
            async with asyncio.timeout(PATIENT_S / 2):
                await stage.status("DOWN", "ACTIVE")
            assert await nova.until(1) == ["vif-plugged"]

    stage.play(scene)


def test_many_go_in_batches(stage: Stage) -> None:
    ports = [stage.instance() for _ in range(5)]

    async def scene(nova: FakeNova, config: Config) -> None:
        how = NotifierConfig(gather_s=0.2, most_ports=2)
        async with told(stage.store, config, how):
            for port in ports:
                await stage.status("ACTIVE", port=port)
            await nova.until(5)
        assert sorted(tag for _, _, tag in nova.heard) == sorted(ports)
        assert max(nova.batches) == 2

    stage.play(scene)


def test_one_of_several_controllers_works(stage: Stage) -> None:
    class Turn:
        async def run(self, work: Callable[[], Awaitable[None]]) -> None:
            await go.wait()
            await work()

    go = asyncio.Event()

    async def scene(nova: FakeNova, config: Config) -> None:
        notifier = Notifier(FAST, stage.store, Nova(config), Turn())
        running = asyncio.create_task(notifier.run())
        await stage.status("ACTIVE")
        await asyncio.sleep(0.05)
        assert not nova.heard
        go.set()
        async with told(stage.store, config, turn=Turn()):
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await stage.status("DOWN")
            assert await nova.until(1) == ["vif-unplugged"]

    stage.play(scene)


def test_the_lease_of_the_store_is_a_turn(stage: Stage) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        async with told(stage.store, config, turn=Lease(LeaseConfig(), stage.store, "nova")):
            await stage.status("ACTIVE")
            assert await nova.until(1) == ["vif-plugged"]

    stage.play(scene)


def test_a_token_from_a_file(stage: Stage, tmp_path: Path) -> None:
    async def scene(nova: FakeNova, config: Config) -> None:
        nova.valid = "given"
        token = tmp_path / "token"
        other = Config(token_file=str(token), endpoint_override=f"{nova.url}/nova/v2.1", timeout_s=0.3)
        async with told(stage.store, other):
            await stage.status("ACTIVE")
            await asyncio.sleep(0.05)
            token.write_text("given\n")
            assert await nova.until(1) == ["vif-plugged"]
        assert nova.tokens == 0

    stage.play(scene)


GOOD = "[nova]\nauth_url=http://k\nusername=neutron\npassword=a%b\nproject_name=service\nauth_type=password\n"


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "neutron.conf"
    path.write_text("[DEFAULT]\ndebug=true\n" + GOOD + "timeout_s=5\n")
    path.chmod(0o640)
    config = read_config(path)
    assert (config.username, config.password, config.timeout_s) == ("neutron", "a%b", 5.0)
    assert config.user_domain_name == "Default"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (GOOD, 0o644, "Everybody can read the password"),
        ("[other]\n", 0o600, "has no section"),
        ("junk", 0o600, "Can't read"),
        ("[nova]\nusername=x\n", 0o600, "needs auth_url, username, password and project_name, or token_file"),
        ("[nova]\ntoken_file=x\n", 0o600, "needs auth_url"),
        (GOOD + "timeout_s=soon\n", 0o600, "timeout_s"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, mode: int, words: str) -> None:
    path = tmp_path / "nova.conf"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(NovaConfigError, match=words):
        read_config(path)
    with pytest.raises(NovaConfigError, match="Can't read"):
        read_config(tmp_path / "none")
