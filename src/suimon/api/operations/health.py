"""`GET /healthz`: whether this controller can do its work, for load balancers and supervisors."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from starlette.responses import Response

from suimon.api.errors import MISSING, identity_error
from suimon.api.wire import Call, answer
from suimon.model.errors import NotFound, Unavailable
from suimon.store.store import Store

log = structlog.get_logger()

_TIMEOUT_S: Final = 2.0


class Health:
    """200 when the store answers in time, 503 with a sentence when it doesn't. Needs no token and tells no secret.

    That nothing is metered is told, but does not make a controller unfit for its work.
    """

    dialect = staticmethod(identity_error)

    def __init__(self, store: Store, metering: Callable[[], str] = lambda: "") -> None:
        self._store = store
        self._metering = metering

    async def answer(self, call: Call) -> Response:
        """Raises NotFound for anything but GET /healthz."""
        if call.segments or call.method not in ("GET", "HEAD"):
            raise NotFound(MISSING)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                _, epoch, revision = await self._store.read(lambda tx: tx.position(), one_statement=True)
        except TimeoutError:
            return _sick(f"The store did not answer within {_TIMEOUT_S:.0f} seconds.")
        except Unavailable as error:
            log.warning("store_unavailable", reason=str(error))
            return _sick(str(error))
        except Exception:
            log.exception("store_unhealthy")
            return _sick("The store can't be read; the controller's log says why.")
        trouble = self._metering()
        metering = "failed: what hosts count is not kept now; the controller's log says why" if trouble else "ok"
        return answer({"status": "ok", "epoch": epoch, "revision": revision, "metering": metering})


def _sick(reason: str) -> Response:
    return answer({"status": "failed", "reason": reason}, 503)
