"""`suimon` with less patience for clients: `hasty.py TIMES COMMAND…` waits for them only one part in so many."""

import sys
from typing import Final

from suimon.api import wire
from suimon.cli import listener, main

TIMES: Final = 5


def hurry(times: int) -> None:
    listener.HEAD_TIMEOUT_S /= times  # type: ignore[misc]
    wire.BODY_TIMEOUT_S /= times  # type: ignore[misc]
    listener.LOOK_TICKS //= times  # type: ignore[misc]


if __name__ == "__main__":
    hurry(int(sys.argv.pop(1)))
    main()
