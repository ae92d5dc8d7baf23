"""The controller's client on a real socket."""

import asyncio
import time

import pytest
from aiohttp import web

from suimon.agent.controller import Config, Controller, ControllerError, Unreachable, load_ca
from suimon.model.view import Join, Network, Position, Report, Snapshot, Watch
from tests.agent.fake_controller import CREDENTIAL, TOKEN


def with_controller(url, play, credential=CREDENTIAL, **config):
    async def scene():
        controller = Controller(Config(url, **config), credential)
        await controller.open()
        try:
            return await play(controller)
        finally:
            await controller.close()

    return asyncio.run(scene())


async def first_frame(controller):
    async for frame in controller.watch(Watch(1)):
        return frame
    return None


def test_join_trades_the_token_for_a_credential(fake):
    joined = with_controller(fake.url, lambda api: api.join(Join(TOKEN, "h1", "192.0.2.1")))
    assert (joined.host, joined.credential) == ("h1", CREDENTIAL)
    with pytest.raises(ControllerError, match="not valid any more"):
        with_controller(fake.url, lambda api: api.join(Join("old", "h1", None)))


def test_a_large_frame_comes_whole(fake):
    fake.change(*(Network(f"n{number}", "vxlan", number, None, 1450) for number in range(5000)))
    frame = with_controller(fake.url, first_frame)
    assert isinstance(frame, Snapshot)
    assert len(frame.objects) == 5000


def test_a_wrong_credential_is_an_error_in_words(fake):
    with pytest.raises(ControllerError, match="who are you") as refused:
        with_controller(fake.url, first_frame, credential="wrong")
    assert not isinstance(refused.value, Unreachable)


def test_a_report_arrives(fake):
    with_controller(fake.url, lambda api: api.report(Report(Position("s", 1, 1), held="why")))
    assert fake.reports[0].held == "why"


def test_nobody_there_is_an_error_in_words():
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        with_controller("http://127.0.0.1:1", first_frame)


def served(answer, play, **config):
    """`play` with a server whose watch is `answer`."""

    async def scene():
        app = web.Application()
        app.router.add_post("/hosts/v1/watch", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        controller = Controller(Config(f"http://127.0.0.1:{runner.addresses[0][1]}", **config), CREDENTIAL)
        await controller.open()
        try:
            return await play(controller)
        finally:
            await controller.close()
            await runner.cleanup()

    return asyncio.run(scene())


def test_a_silent_line_is_given_up_after_three_missing_pings():
    async def silent(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(5)
        return response

    begun = time.monotonic()
    with pytest.raises(ControllerError):
        served(silent, first_frame, ping_s=0.1)
    assert 0.2 < time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "body",
    [b'{"type":"surprise"}\n', b"garbage\n", b'{"type":"ping"}\n', b"x" * 3000],
    ids=["kind", "json", "field", "long"],
)
def test_nonsense_is_an_error_and_no_crash(body):
    async def nonsense(request):
        return web.Response(body=body)

    with pytest.raises(ControllerError):
        served(nonsense, first_frame, max_frame_bytes=2000)


def test_a_redirect_is_not_followed_because_the_credential_would_go_along():
    async def elsewhere(request):
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/")

    with pytest.raises(ControllerError, match="307"):
        served(elsewhere, first_frame)


def test_a_ca_file_that_is_none_is_said_at_once(tmp_path):
    (tmp_path / "ca.pem").write_text("nonsense")
    for path in (tmp_path / "ca.pem", tmp_path / "missing"):
        with pytest.raises(ControllerError, match="CA file"):
            load_ca(str(path))
