"""What this host would do, read from its state directory and the switch's database, when no agent runs to be asked."""

import asyncio
from contextlib import suppress

from suimon.agent.memory import Memory
from suimon.agent.saved import StateDirectory
from suimon.dataplane.layout import TUNNELS
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Switch
from suimon.pipeline.world import World


async def offline_world(state: StateDirectory, host: str, switch: SwitchConfig) -> World:
    """The world of the last view, wired as the switch is now. Raises OSError when its database can't be read."""
    memory = Memory(state)
    world = World(host, memory.load_numbers())
    for thing in memory.load_view().objects.values():
        world.set(thing)
    for (network_id, ip), mac in memory.load_neighbours().items():
        world.learn(network_id, ip, mac)
    await _wire(world, Switch(switch))
    return world


async def _wire(world: World, switch: Switch) -> None:
    following = asyncio.create_task(switch.run())
    ready = asyncio.create_task(switch.ready())
    try:
        await asyncio.wait((following, ready), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following
        await ready
    finally:
        for task in (following, ready):
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
    ofports = {name: link.ofport for name, link in switch.links.items() if link.ofport is not None}
    inner = {name.removeprefix("int-"): ofport for name, ofport in ofports.items() if name.startswith("int-")}
    world.wire({kind: ofports[name] for kind, name in TUNNELS.items() if name in ofports}, inner)
    for plugged in switch.plugged.values():
        world.plug(plugged.port_id, plugged.ofport)
