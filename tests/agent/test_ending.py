"""Who tries again what failed ends when told to, also if something fails at that very moment."""

import asyncio
from types import SimpleNamespace

import pytest

from suimon.agent import daemon, session
from suimon.agent.services.services import Services
from tests.patience import patient


class FailsWhenEnded:
    """A session, namespaces, services: a group whose task fails as it is ended."""

    def __init__(self, *_: object) -> None:
        pass

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fail())

    async def _fail(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the device is away")


def agent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daemon, "Session", FailsWhenEnded)
    return daemon.Agent._stay_connected(SimpleNamespace(_config=daemon.Config(), _parts=None))


def namespaces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "Namespaces", FailsWhenEnded)
    enforcer = SimpleNamespace(note_unmade=lambda *_: None, nats={}, nats_known=asyncio.Event())
    of = SimpleNamespace(_parts=SimpleNamespace(enforcer=enforcer), _config=session.Config(), _switch=None)
    return session.Session._keep_namespaces(of)


def services(_: pytest.MonkeyPatch):
    config = SimpleNamespace(pause_s=0.01)
    return Services.run(SimpleNamespace(_serve=FailsWhenEnded().run, _tell=lambda _: None, _config=config, _nova=None))


@pytest.mark.parametrize("trying", [agent, namespaces, services])
def test_it_ends(monkeypatch: pytest.MonkeyPatch, trying) -> None:
    async def play() -> None:
        task = asyncio.create_task(trying(monkeypatch))
        await asyncio.sleep(0.01)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=patient(10))
        assert done and task.cancelled()

    asyncio.run(play())
