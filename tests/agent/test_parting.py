"""What counts a port's packets is read before it goes."""

import asyncio

import pytest

from suimon.model.view import Delta
from tests.agent.parts import FakeSwitch, Parts, at, port, snapshot
from tests.agent.test_enforcer import flows_of, scene


def test_ports_are_read_once_more_before_their_flows_go(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        read = []
        switch.parting = lambda names: read.append({name: bool(flows_of(switch, f"port/{name}")) for name in names})
        async with parts.enforcing(switch):
            for number in (1, 2, 3):
                parts.enforcer.plug(f"p{number}", number)
            sub = port(4, parent="p3", vlan=20)
            parts.take(snapshot(1, port(1), port(2), port(3), sub, port(5)))
            await parts.in_force(1)
            parts.enforcer.plug("p1", 1)
            parts.take(Delta(at(2), objects=(port(2, groups=()),)))
            await parts.in_force(2)
            assert not any(read), "none of them goes"
            parts.enforcer.plug("p1", None)
            parts.take(Delta(at(3), deleted=(("port", "p2"), ("port", "p5"))))
            await parts.in_force(3)
            assert [each for each in read if each] == [{"p1": True, "p2": True}]
            parts.enforcer.plug("p3", 7)
            parts.take(Delta(at(4)))
            await parts.in_force(4)
            assert read[-1] == {"p3": True, "p4": True}

    scene(play())


def test_ports_that_could_not_be_read_are_read_in_the_next_life(tmp_path):
    async def play():
        parts, switch, read = Parts(tmp_path), FakeSwitch(), []

        def lost(names):
            if names:
                raise ConnectionResetError

        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1)))
            await parts.in_force(1)
        switch.parting = lost
        parts.take(Delta(at(2), deleted=(("port", "p1"),)))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(parts.enforcer.run(switch, lambda: 0.5), 5)
        assert flows_of(switch, "port/p1")
        switch.parting = read.append
        async with parts.enforcing(switch):
            await parts.in_force(2)
        assert read[0] == {"p1"} and not flows_of(switch, "port/p1")

    scene(play())
