"""Step 4: what guests ask their host: instance data, and their neighbours' names."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from suimon.lab.error import LabError
from suimon.lab.openstack import Json
from suimon.lab.tour.guide import Guide

_ADDRESS = "169.254.169.254"


def show(guide: Guide) -> None:
    guide.tell("Every hypervisor answers its own guests at 169.254.169.254: instance data by HTTP, names by DNS.")
    told = guide.inside(
        "blue1", "busybox", "wget", "-q", "-O", "-", f"http://{_ADDRESS}/openstack/latest/meta_data.json"
    )
    name = msgspec.json.decode(told, type=Json)["name"]
    guide.check(name == "blue1", "the instance data is of the guest that asked", name)
    guide.cloud.run("port", "set", "--dns-name", "db", "blue2")
    address = guide.address("blue2")
    took_s = guide.await_true(lambda: address in _looked_up(guide, "blue1"))
    answer = guide.inside("blue1", "busybox", "nslookup", "db", _ADDRESS)
    guide.check(address in answer, "blue1 finds blue2 by its new name", f"db is {address}, known after {took_s:.1f} s")
    stranger = _looked_up(guide, "pub1")
    guide.check(address not in stranger, "a guest of another network, asking the same address, does not")


def _looked_up(guide: Guide, name: str) -> str:
    """What a guest is told of `db`, nothing if it is told of none."""
    guest = guide.lab.guests.get(name)
    with suppress(LabError):
        return guide.lab.guests.run(guest, ["busybox", "nslookup", "db", _ADDRESS])
    return ""
