"""A controller as an agent sees it: the host protocol on a real socket, with the view in the test's hands."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager

import msgspec
from aiohttp import web

from suimon.model.questions import CountDrops, Traced
from suimon.model.view import Delta, Join, Joined, Position, Report, Snapshot, Watch, key
from tests.patience import patient

CREDENTIAL = "credential-of-h1"
TOKEN = "one-time-token"


class FakeController:
    """Serves in a thread of its own. `change` makes a revision; agents get what they miss, or a snapshot."""

    def __init__(self, store="store-1"):
        self.store, self.epoch, self.revision = store, 1, 0
        self.objects = {}
        self.reports: list[Report] = []
        self.watches: list[Watch] = []
        self.answers: dict[str, Traced] = {}
        self.port = 0
        self._log: list[Delta] = []
        self._streams: set[asyncio.Queue] = set()
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._runner = None
        self._thread = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(patient(10))

    def stop(self):
        """As if killed: streams break, nobody listens. `start` listens on the same port again."""
        if self._thread is None:
            return
        self._tell(None)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._thread = None

    @contextmanager
    def away(self):
        """Not there meanwhile, as if killed."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def change(self, *objects, deleted=(), dropped=()):
        """One revision; returns its number."""
        self.revision += 1
        for each in deleted:
            self.objects.pop(each, None)
        self.objects.update({key(thing): thing for thing in objects})
        delta = Delta(self.position, dropped, tuple(deleted), objects)
        self._log.append(delta)
        self._tell(delta)
        return self.revision

    def forget_everything(self, store):
        """The store was emptied: another one, at its beginning."""
        self.store, self.revision, self.objects, self._log = store, 0, {}, []

    @property
    def position(self):
        return Position(self.store, self.epoch, self.revision)

    def wait_report(self, fits: Callable[[Report], bool], timeout_s=20) -> Report:
        """The first report that fits, of those that come and have come."""
        with self._news:
            found = self._news.wait_for(lambda: any(map(fits, self.reports)), patient(timeout_s))
            assert found, f"reports: {self.reports}"
            return next(filter(fits, self.reports))

    def wait_status(self, port_id, status, timeout_s=20):
        """Until the last that was said of the port is `status`; returns the reason."""

        def last():
            said = [each for report in self.reports for each in report.ports if each.port_id == port_id]
            return said[-1] if said else None

        with self._news:
            fits = self._news.wait_for(lambda: last() is not None and last().status == status, patient(timeout_s))
            assert fits, f"{port_id} is {last()}, not {status}"
            return last().reason

    def ask(self, port_id, timeout_s=30) -> Traced:
        """What the agent says that was dropped of a port's packets."""
        name = str(len(self.answers))
        self._tell(CountDrops(name, port_id))
        with self._news:
            assert self._news.wait_for(lambda: name in self.answers, patient(timeout_s))
            return self.answers[name]

    def _tell(self, frame):
        def put():
            for queue in list(self._streams):
                queue.put_nowait(frame)

        self._loop.call_soon_threadsafe(put)

    def _serve(self, started):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        started.set()
        self._loop.run_forever()

    async def _listen(self):
        app = web.Application()
        app.router.add_post("/hosts/v1/join", self._join)
        app.router.add_post("/hosts/v1/watch", self._watch)
        app.router.add_post("/hosts/v1/report", self._report)
        app.router.add_post("/hosts/v1/answer", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.port or self._runner.addresses[0][1]

    async def _join(self, request):
        wanted = msgspec.json.decode(await request.read(), type=Join)
        if wanted.token != TOKEN:
            return web.json_response({"error": "the token is not valid any more"}, status=401)
        return web.Response(body=msgspec.json.encode(Joined(wanted.host, CREDENTIAL, self.store)))

    async def _watch(self, request):
        if request.headers.get("Authorization") != f"Bearer {CREDENTIAL}":
            return web.json_response({"error": "who are you?"}, status=401)
        watch = msgspec.json.decode(await request.read(), type=Watch)
        self.watches.append(watch)
        queue: asyncio.Queue = asyncio.Queue()
        self._streams.add(queue)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for frame in self._missed(watch.position):
                await response.write(msgspec.json.encode(frame) + b"\n")
            while (frame := await queue.get()) is not None:
                await response.write(msgspec.json.encode(frame) + b"\n")
            return response
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._streams.discard(queue)

    def _missed(self, position):
        if position is None or (position.store, position.epoch) != (self.store, self.epoch):
            return [Snapshot(self.position, tuple(self.objects.values()))]
        if position.revision > self.revision:
            return [Snapshot(self.position, tuple(self.objects.values()))]
        return [delta for delta in self._log if delta.position.revision > position.revision]

    async def _answer(self, request):
        answer = msgspec.json.decode(await request.read(), type=Traced)
        with self._news:
            self.answers[answer.id] = answer
            self._news.notify_all()
        return web.Response(status=204)

    async def _report(self, request):
        report = msgspec.json.decode(await request.read(), type=Report)
        with self._news:
            self.reports.append(report)
            self._news.notify_all()
        return web.Response(status=204)
