"""`suimon` as it would be some seconds later: `later.py SECONDS COMMAND…`. The clock on the wall is set, no other is.

Controllers and agents ask `time.time`, which is replaced before anything of ours is loaded.
"""

import sys
import time
from collections.abc import Callable


def main(ahead_s: float) -> None:
    on_time: Callable[[], float] = time.time
    time.time = lambda: on_time() + ahead_s
    from suimon.cli import main as suimon

    suimon()


if __name__ == "__main__":
    main(float(sys.argv.pop(1)))
