"""The metadata service: HTTP on a socket in the services' namespace, each request answered for the port that sent it.

A guest's request is a stranger's: of it only a method, a path of plain characters and, where Nova takes one, a small
body are used. Its headers are not read, and none of them goes anywhere.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import ExitStack, suppress
from typing import Any, Final, Never

import msgspec
import structlog
from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from suimon.agent.services import instance
from suimon.agent.services.askers import Asker, Askers, Shares
from suimon.agent.services.nova import Nova, Reply, Request
from suimon.pipeline.world import World

log = structlog.get_logger()

_PATH: Final = re.compile(r"/(?:(?:latest|openstack|[0-9]{4}-[0-9]{2}-[0-9]{2}|1\.0)(?:/[A-Za-z0-9_.:@-]+)*/?)?")
"""What Nova and cloud-init know: versions of EC2's service, or `openstack`, and names below."""
_POSTED: Final = re.compile(r"/openstack/[0-9a-z.-]+/password")
"""The only thing that a guest may leave with Nova."""


class Config(msgspec.Struct, frozen=True):
    """Bounds on what guests may hold and send."""

    most_connections_each: int = 16
    most_connections: int = 256
    most_connection_s: float = 60.0
    longest_path: int = 256
    most_header_bytes: int = 4096
    most_body_bytes: int = 4096


class Metadata:
    """`serve` answers on a listening socket for as long as it is not cancelled."""

    def __init__(self, config: Config, askers: Askers, world: World, nova: Nova | None = None) -> None:
        self._config = config
        self._askers = askers
        self._world = world
        self._nova = nova
        self._shares = Shares(config.most_connections_each, config.most_connections)

    async def serve(self, listener: socket.socket) -> Never:
        """Raises OSError when the socket is no good any more."""
        server = web.Server(self._respond)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            try:
                while True:
                    accepted, (address, *_) = await loop.sock_accept(listener)
                    connections.create_task(self._connected(server, accepted, address))
            finally:
                await server.shutdown(0)
        raise AssertionError("accepting never ends")

    async def _connected(self, server: web.Server, accepted: socket.socket, address: str) -> None:
        """One connection: it gets no longer than the bound, whatever is going on in it."""
        with ExitStack() as held:
            asker = self._askers.find(address)
            if asker is None or not held.enter_context(self._shares.taken(asker.port.id)):
                accepted.close()
                return
            ended = asyncio.Event()
            try:
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: _Connection(server, ended, self._config.most_header_bytes), accepted
                )
            except OSError:
                accepted.close()
                return
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._config.most_connection_s):
                        await ended.wait()
            finally:
                transport.abort()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        asker = self._askers.find(peer[0]) if peer else None
        if asker is None:
            return web.Response(status=404)
        reply = await self._answer(asker, request)
        return web.Response(status=reply.status, body=reply.body, content_type=reply.content_type)

    async def _answer(self, asker: Asker, request: web.BaseRequest) -> Reply:
        path = request.rel_url.raw_path.replace("//", "/")
        if len(path) > self._config.longest_path or not _PATH.fullmatch(path) or ".." in path:
            return Reply(404)
        if request.method == "POST" and self._nova is not None and _POSTED.fullmatch(path):
            body = await _body(request.content, self._config.most_body_bytes)
            return Reply(413) if body is None else await self._nova.ask(asker, Request("POST", path, body))
        if request.method not in ("GET", "HEAD"):
            return Reply(405)
        if self._nova is not None:
            return await self._nova.ask(asker, Request("GET", path))
        found = instance.document(self._facts(asker), path)
        kind = "application/json" if path.endswith(".json") else "text/plain"
        return Reply(404) if found is None else Reply(200, found, kind)

    def _facts(self, asker: Asker) -> instance.Facts:
        world = self._world
        ports = self._askers.ports_of_instance(asker.port)
        networks = {port.network_id: world.network(port.network_id) for port in ports}
        subnets = {fixed.subnet_id: world.subnet(fixed.subnet_id) for port in ports for fixed in port.fixed_ips}
        floating = map(world.floating_ip, world.found("floating_ip@port", asker.port.id))
        return instance.Facts(
            tuple(ports),
            {name: network for name, network in networks.items() if network},
            {name: subnet for name, subnet in subnets.items() if subnet},
            tuple(each.address for each in floating if each),
        )


class _Connection(web.RequestHandler):
    """An aiohttp connection that tells when it has ended."""

    def __init__(self, server: web.Server, ended: asyncio.Event, most_header_bytes: int) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # Said so by web.Server, too.
            auto_decompress=False,
            lingering_time=0,  # Nobody waits for the rest of what is not wanted.
            max_line_size=most_header_bytes,
            max_field_size=most_header_bytes,
        )
        self._ended = ended

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._ended.set()

    def log_exception(self, *args: Any, **more: Any) -> None:
        """What is no request, or breaks off, is a guest's doing: with a traceback for each it would fill our disk."""
        error = more.get("exc_info")
        if isinstance(error, HttpProcessingError | OSError):
            log.debug("metadata_refused", reason=str(error))
        else:
            log.error("metadata_failed", exc_info=error)


async def _body(content: StreamReader, most: int) -> bytes | None:
    """None when it is longer."""
    body = bytearray()
    async for chunk in content.iter_chunked(most):
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)
