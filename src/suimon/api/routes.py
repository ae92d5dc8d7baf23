"""Finds the handler of a path in a service's explicit table: `"GET projects/*"` leads to one of (call, actor, id)."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from suimon.api.errors import MISSING, UNCOMPLIABLE, MethodNotAllowed
from suimon.model.errors import NotFound

Handler = Callable[..., Awaitable[Response]]


class Routes:
    """A table of `METHOD path` to handler; a `*` in a path stands for one segment, which the handler is given."""

    def __init__(self, table: Mapping[str, Handler]) -> None:
        self._by_pattern: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route, handler in table.items():
            method, _, path = route.partition(" ")
            self._by_pattern.setdefault(tuple(path.split("/")), {})[method] = handler

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[Handler, list[str]]:
        """The handler and the segments under its stars. Raises NotFound for the path, MethodNotAllowed for the verb."""
        fitting = [pattern for pattern in self._by_pattern if _fits(pattern, segments)]
        for pattern in fitting:
            if handler := self._by_pattern[pattern].get(method):
                return handler, [given for part, given in zip(pattern, segments, strict=True) if part == "*"]
        raise MethodNotAllowed(UNCOMPLIABLE) if fitting else NotFound(MISSING)


def _fits(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    return len(pattern) == len(segments) and all(
        part in ("*", given) for part, given in zip(pattern, segments, strict=True)
    )
