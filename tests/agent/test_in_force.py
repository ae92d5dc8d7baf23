"""What the log says of views in force: every request, a line at once for a port here, few lines for all the others."""

import asyncio

from structlog.testing import capture_logs

from suimon.model.view import Delta, Peer
from tests.agent.parts import FakeSwitch, Parts, at, port, snapshot
from tests.patience import patient


def test_what_concerns_no_port_here_shares_lines_that_name_all_requests(tmp_path):
    async def play():
        parts = Parts(tmp_path)
        async with parts.enforcing(FakeSwitch()):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            with capture_logs() as lines:
                for revision in range(2, 42):
                    elsewhere = Peer(f"p{revision}", "net", f"fa:16:3e:00:01:{revision:02x}", (), "h2", "192.0.2.2")
                    parts.take(Delta(at(revision), objects=(elsewhere,), requests=(f"req-{revision}",)))
                    await parts.in_force(revision)
                parts.take(Delta(at(42), objects=(port(2),), requests=("req-here",)))
                await parts.in_force(42)
        said = [line for line in lines if line["event"] == "view_in_force"]
        requests = [request for line in said for request in line["requests"]]
        assert requests == [*(f"req-{revision}" for revision in range(2, 42)), "req-here"]
        assert said[-1]["revision"] == 42
        assert len(said) < 20

    asyncio.run(asyncio.wait_for(play(), patient(60)))


def test_a_change_that_nothing_follows_is_said_all_the_same(tmp_path):
    async def play():
        parts = Parts(tmp_path)
        async with parts.enforcing(FakeSwitch()):
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
            with capture_logs() as lines:
                parts.take(Delta(at(2), objects=(Peer("p2", "net", "fa:16:3e:00:01:02", (), "h2", "192.0.2.2"),)))
                while not any(line.get("revision") == 2 for line in lines):  # noqa: ASYNC110 - a log rings no bell
                    await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(play(), patient(60)))
