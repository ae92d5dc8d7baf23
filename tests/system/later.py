"""`suimon` as it would be some seconds later: `later.py SECONDS COMMAND…`. The clock on the wall is set, no other is.

Whoever asks for the time says `time.time` or `datetime.now`: the first is replaced before anything of ours is loaded,
the second where controllers ask for it, since the class itself can't be changed.
"""

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

CLOCKS = ("suimon.api.gate", "suimon.distribution.distribution", "suimon.store.store")


class Later(datetime):
    """Only `now` is asked of it."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


def main(ahead_s: float) -> None:
    on_time: Callable[[], float] = time.time
    time.time = lambda: on_time() + ahead_s
    Later.ahead = timedelta(seconds=ahead_s)
    from suimon.cli import main as suimon

    for name in CLOCKS:
        __import__(name)
        sys.modules[name].datetime = Later  # type: ignore[attr-defined]
    suimon()


if __name__ == "__main__":
    main(float(sys.argv.pop(1)))
