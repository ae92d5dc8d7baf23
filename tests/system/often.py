"""`suimon` whose agents read counters more often: `often.py SECONDS COMMAND…`. All else is as it is."""

import sys
from functools import partial
from typing import Final

from suimon.agent import meter
from suimon.cli import main

READ_EVERY_S: Final = 2
"""Hosts of a real cloud do it at every tenth second."""
PROGRAM: Final = (sys.executable, __file__, str(READ_EVERY_S))
"""What to run for `suimon`."""

if __name__ == "__main__":
    meter.Config = partial(meter.Config, every_s=float(sys.argv.pop(1)))  # type: ignore[assignment,misc]
    main()
