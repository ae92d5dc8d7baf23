"""The promise: a controller whose disk is full says so, keeps what it acknowledged, and heals when there is room."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import msgspec
import pytest

from suimon.model.view import SCHEMA, Delta, Frame, Join, Ping, Snapshot, Watch
from suimon.store import Store, StoreConfig
from tests.api.controller import SUIMON, Controller, free_port
from tests.patience import patient
from tests.postgresql import PrivateCluster
from tests.system.openvswitch import run

LARGE = "n" * 250
MANY = 5_000
"""As many writes fit into no disk of this test."""
FRAME: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
FULL = "The disk under the database is full."


class Disk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, but_for: int = 0) -> None:
        with self._filler.open("wb", buffering=0) as filler:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    filler.write(bytes(4096))
            filler.truncate(filler.tell() - but_for)

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Small, and for other users, too, as a database's server is one."""
    with TemporaryDirectory(prefix="smt") as folder:
        Path(folder).chmod(0o755)
        run("mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "tmpfs", folder)
        try:
            yield Disk(Path(folder))
        finally:
            run("umount", "--lazy", folder)


class Client:
    """An admin's, and a host's; `acknowledged` are the ids of networks that were made."""

    def __init__(self, controller: Controller, session: aiohttp.ClientSession) -> None:
        self.acknowledged: set[str] = set()
        self._controller, self._session = controller, session
        self._password = (controller.state / "clouds.yaml").read_text().split('password: "')[1].split('"')[0]
        self._token = ""

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers, url = {"X-Auth-Token": self._token}, f"{self._controller.url}/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def log_in(self) -> int:
        user = {"name": "admin", "domain": {"name": "Default"}, "password": self._password}
        scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        async with self._session.post(f"{self._controller.url}/identity/v3/auth/tokens", json=body) as answer:
            self._token = answer.headers.get("X-Subject-Token", self._token)
            return answer.status

    async def make(self) -> tuple[int, Any]:
        status, said = await self.ask("POST", "v2.0/networks", {"network": {"name": LARGE, "description": LARGE}})
        if status == 201:
            self.acknowledged.add(said["network"]["id"])
        return status, said

    async def listed(self) -> set[str]:
        status, said = await self.ask("GET", "v2.0/networks?fields=id")
        assert status == 200, said
        return {each["id"] for each in said["networks"]}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Callable[[type[Any]], Any]]:
        """The stream of a host that joined: a function that waits for the next frame of a kind."""
        _, made = await self.ask("POST", "operations/v1/hosts/tokens", {"host": "hv1"})
        url = f"http://127.0.0.1:{self._controller.hosts_port}/hosts/v1"
        join = msgspec.json.encode(Join(made["token"]["secret"], "hv1", "192.0.2.9"))
        async with self._session.post(f"{url}/join", data=join) as answer:
            headers = {"Authorization": f"Bearer {(await answer.json())['credential']}"}
        watch = msgspec.json.encode(Watch(SCHEMA, None))
        async with self._session.post(f"{url}/watch", data=watch, headers=headers) as stream:

            async def frame(kind: type[Any]) -> Any:
                async with asyncio.timeout(patient(30)):
                    async for line in stream.content:
                        found = FRAME.decode(line)
                        if isinstance(found, kind):
                            return found
                raise AssertionError("the stream ended")

            yield frame


async def scene(controller: Controller, disk: Disk) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=patient(30))
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session:
        client = Client(controller, session)
        assert await client.log_in() == 201
        quota = {"quota": {"network": -1}}
        (project,) = {each["project_id"] for _, said in [await client.make()] for each in [said["network"]]}
        await client.ask("PUT", f"v2.0/quotas/{project}", quota)
        async with client.watching() as frame:
            await frame(Snapshot)
            disk.fill()
            for _ in range(MANY):
                status, said = await client.make()
                if status != 201:
                    break
            assert (status, said["NeutronError"]["type"]) == (503, "ServiceUnavailable"), said
            assert said["NeutronError"]["message"].startswith(FULL), said
            for _ in range(3):
                assert (await client.make())[0] == 503
            assert await client.log_in() in (201, 503), "what is small may still fit"
            assert client.acknowledged <= await client.listed()
            assert (await client.ask("GET", "healthz"))[0] == 200
            await frame(Ping)
            before = await client.listed()

            disk.make_room()
            until = asyncio.get_running_loop().time() + patient(30)
            while (await client.make())[0] != 201:
                assert asyncio.get_running_loop().time() < until, "it did not heal"
                await asyncio.sleep(0.2)
            assert before < await client.listed()
            (network,) = {*[next(iter(client.acknowledged))]}
            wanted = {"port": {"network_id": network, "binding:host_id": "hv1"}}
            assert (await client.ask("POST", "v2.0/ports", wanted))[0] == 201
            await frame(Delta)
        controller.stop(signal.SIGKILL)
        await asyncio.to_thread(controller.start)
        assert client.acknowledged <= await client.listed()


@pytest.mark.parametrize("server", [False, True], ids=["sqlite", "postgresql"])
def test_a_full_disk_refuses_what_is_new_and_loses_nothing(disk: Disk, server: bool, tmp_path: Path) -> None:
    with PrivateCluster(durable=True, where=disk.folder) if server else nullcontext() as cluster:
        options = ["--database", cluster.url()] if cluster else []
        # What it logs is on that disk, too.
        controller = Controller(disk.folder / "state", free_port(), free_port(), *options)
        controller.start()
        try:
            asyncio.run(scene(controller, disk))
            assert "Traceback" not in controller.log()
        finally:
            controller.stop(signal.SIGKILL)


def test_who_starts_on_a_full_disk_says_so_and_ends(disk: Disk) -> None:
    database = disk.folder / "state" / "suimon.db"
    listen = [f"--{name}listen=127.0.0.1:{free_port()}" for name in ("", "hosts-")]

    def said() -> str:
        command = [str(SUIMON), "serve", "--state", str(database.parent), *listen]
        found = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
        assert found.returncode == 1, found
        return found.stderr.splitlines()[-1]

    full = f"Error: The database {database} can't be opened: the disk under it is full. Make room first."
    disk.fill()
    assert said() == full, "there is no database yet"
    disk.make_room()
    store = Store(StoreConfig(f"sqlite:///{database}"))
    store.open()
    store.close()
    disk.fill()
    assert said() == full
    disk.make_room()
    # What is opened needs eight pages, and a change more.
    disk.fill(but_for=40 << 10)
    assert said() == f"Error: The admin's account can't be made: {FULL} Nothing was changed."
