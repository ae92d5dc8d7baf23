"""When a bridge last changed, as the switch itself tells, and how much is in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from suimon.lab.openvswitch import OpenVSwitch


class Monitor:
    """ovs-ofctl(8), monitor. `changed_at_s` is monotonic time."""

    def __init__(self) -> None:
        self.changed_at_s = 0.0
        self._news = asyncio.Event()

    @asynccontextmanager
    async def watching(self, switch: OpenVSwitch) -> AsyncIterator[Self]:
        target = f"unix:{switch.rundir}/br-int.mgmt"
        command = ["ovs-ofctl", "-O", "OpenFlow15", "monitor", target, "watch:!initial"]
        # It wants a directory for a control socket of its own.
        env, pipe = {"PATH": "/usr/bin:/bin", "OVS_RUNDIR": str(switch.rundir)}, asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=env)
        reading = asyncio.create_task(self._read(child))
        try:
            assert child.stdout is not None
            async with asyncio.timeout(30):
                await child.stdout.readline()  # The answer to its request; changes come on stderr.
            yield self
        finally:
            reading.cancel()
            if child.returncode is None:
                child.terminate()
            await child.wait()

    async def after(self, began_s: float) -> float:
        """Milliseconds from `began_s` to the first change after it."""
        async with asyncio.timeout(30):
            while self.changed_at_s <= began_s:
                self._news.clear()
                await self._news.wait()
        return (self.changed_at_s - began_s) * 1000

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stderr is not None
        while await child.stderr.read(1 << 16):
            self.changed_at_s = time.monotonic()
            self._news.set()


def flow_count(switch: OpenVSwitch) -> int:
    return int(switch.ofctl("dump-aggregate", "br-int").split("flow_count=")[1].split()[0])
