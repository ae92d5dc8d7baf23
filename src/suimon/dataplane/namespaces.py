"""The network namespaces that agents left on this host, by the prefix of their names: for a host that leaves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from suimon.dataplane.nat import DEVICES
from suimon.dataplane.services import NAMESPACE

_NAMESPACES: Final = Path("/run/netns")
_TIMEOUT_S: Final = 10.0


def remove_left(prefix: str) -> Iterator[str]:
    """Remove those of routers and of services, with their devices; each name as it is gone. Raises OSError."""
    found = sorted(each.name for each in _NAMESPACES.iterdir()) if _NAMESPACES.is_dir() else []
    for name in found:
        if name == prefix + NAMESPACE or name.startswith(prefix + DEVICES):
            done = subprocess.run(  # noqa: S603  (the name is of a file that is there)
                ("ip", "netns", "delete", name),  # noqa: S607  (where it is differs from one distribution to the next)
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            if done.returncode:
                raise OSError(f"ip netns delete {name}: {done.stderr.strip()}")
            yield name
