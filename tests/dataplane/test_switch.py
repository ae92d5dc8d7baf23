"""The switch as its database tells it: what is looked at after a change leads to what looking at all of it does."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from suimon.dataplane.mirror import OWNER_KEY
from suimon.dataplane.ovsdb import RowUpdate, TableUpdates, as_map, as_set
from suimon.dataplane.switch import Config, Switch

Rows = dict[str, dict[str, dict[str, Any]]]
"""By table and uuid."""

BRIDGES: Final = {"b1": "br-int", "b2": "theirs"}
NUMBERS: Final = range(6)
"""Of interfaces, each with a port of its own or one that it shares with the next."""


@st.composite
def interfaces(draw: st.DrawFn) -> dict[str, Any]:
    named = {"iface-id": draw(st.sampled_from(["", "vm1", "vm2"])), OWNER_KEY: draw(st.sampled_from(["", "port/x"]))}
    return {
        "type": draw(st.sampled_from(["", "internal", "vxlan"])),
        "ofport": draw(st.sampled_from([as_set([]), -1, 1, 2])),
        "link_state": draw(st.sampled_from([as_set([]), "up"])),
        "external_ids": as_map({key: value for key, value in named.items() if value}),
    }


@st.composite
def databases(draw: st.DrawFn) -> Rows:
    """Some interfaces, whose ports are on one bridge, on another, or on none; a row may come back as another."""
    rows: Rows = {"Bridge": {}, "Port": {}, "Interface": {}}
    ports: dict[str, list[str]] = {uuid: [] for uuid in BRIDGES}
    for number in draw(st.sets(st.sampled_from(NUMBERS))):
        uuid, port = f"i{number}{draw(st.sampled_from('xy'))}", f"p{draw(st.sampled_from([number, number // 2 * 2]))}"
        rows["Interface"][uuid] = draw(interfaces()) | {"name": f"tap{number}"}
        if port in rows["Port"]:
            rows["Port"][port]["interfaces"][1].append(["uuid", uuid])
        else:
            rows["Port"][port] = {"name": port, "interfaces": as_set([["uuid", uuid]])}
            ports[draw(st.sampled_from(sorted(BRIDGES)))].append(port)
    for uuid in draw(st.sets(st.sampled_from(sorted(BRIDGES)))):
        rows["Bridge"][uuid] = {"name": BRIDGES[uuid], "ports": as_set([["uuid", port] for port in ports[uuid]])}
    return rows


def difference(before: Rows, now: Rows) -> TableUpdates:
    return {
        table: {
            uuid: RowUpdate(new=now[table].get(uuid))
            for uuid in before[table].keys() | now[table].keys()
            if before[table].get(uuid) != now[table].get(uuid)
        }
        for table in now
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(databases(), min_size=1, max_size=6))
def test_after_each_change_is_known_what_looking_at_everything_finds(states: list[Rows]) -> None:
    async def followed() -> None:
        switch, told, before = (
            Switch(Config()),
            (dict[str, Any](), dict[str, Any]()),
            Rows(Bridge={}, Port={}, Interface={}),
        )
        for now in states:
            switch._take_updates(difference(before, now))
            whole = Switch(Config())
            whole._take_updates(difference(Rows(Bridge={}, Port={}, Interface={}), now))
            assert (switch.plugged, switch.links) == (whole.plugged, whole.links)
            if switch._seen.plugged or switch._seen.links:
                seen = await switch.changed()
                for known, changed in zip(told, (seen.plugged, seen.links), strict=True):
                    known.update(changed)
            assert [{key: each for key, each in known.items() if each} for known in told] == [
                whole.plugged,
                whole.links,
            ]
            before = now

    asyncio.run(followed())


def test_what_a_guest_s_interface_changes_is_looked_at_alone() -> None:
    """As many as there are: a host may have hundreds."""
    numbers = range(300)
    rows: Rows = {
        "Interface": {f"i{n}": {"name": f"tap{n}", "external_ids": as_map({"iface-id": f"vm{n}"})} for n in numbers},
        "Port": {f"p{n}": {"name": f"tap{n}", "interfaces": ["uuid", f"i{n}"]} for n in numbers},
        "Bridge": {"b": {"name": "br-int", "ports": as_set([["uuid", f"p{n}"] for n in numbers])}},
    }
    switch = Switch(Config())
    nothing = Rows(Bridge={}, Port={}, Interface={})
    assert len(switch.mirror.update(difference(nothing, rows))) == len(numbers)
    after = rows | {"Interface": rows["Interface"] | {"i7": rows["Interface"]["i7"] | {"ofport": 7}}}
    assert switch.mirror.update(difference(rows, after)) == {"i7"}
    fewer = {"name": "br-int", "ports": as_set([["uuid", f"p{n}"] for n in numbers if n != 9])}
    unplugged = after | {"Bridge": {"b": fewer}}
    assert switch.mirror.update(difference(after, unplugged)) == {"i9"}
