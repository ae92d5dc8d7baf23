"""Live migration of a guest, in Nova's place: the API's part of it and the hypervisors', in Nova's order."""

from __future__ import annotations

import time

from suimon.lab.error import LabError
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.openstack import OpenStack

_TIMEOUT_S = 20


def migrate(lab: Lab, cloud: OpenStack, name: str, to: str) -> Guest:
    """The guest on its new hypervisor, the old one rid of it; LabError for one that isn't movable."""
    guest = lab.guests.get(name)
    lab.layout.host(to)
    if not guest.movable:
        raise LabError(f"Guest {name} is not movable; `suimon lab guest add --movable` makes one that is.")
    if guest.host == to:
        raise LabError(f"Guest {name} is on {to} already.")
    bindings = f"/v2.0/ports/{guest.port_id}/bindings"
    cloud.call("POST", bindings, {"binding": {"host": to}})
    lab.guests.expect(guest, to)
    _await_ready(cloud, guest)
    moved = lab.guests.move(guest, to)
    cloud.call("PUT", f"{bindings}/{to}/activate")
    lab.guests.forget(guest, guest.host)
    cloud.call("DELETE", f"{bindings}/{guest.host}")
    return moved


def _await_ready(cloud: OpenStack, guest: Guest) -> None:
    """Until the hypervisor that the guest goes to has all of its port in force."""
    deadline = time.monotonic() + _TIMEOUT_S
    path = f"/operations/v1/ports/{guest.port_id}/readiness"
    while not all(each["ready"] for each in cloud.ask(path)["readiness"]["waiting_at"]):
        if time.monotonic() > deadline:
            raise LabError(f"No hypervisor was ready for guest {guest.name} within {_TIMEOUT_S} s.")
        # The controller tells who asks.
        time.sleep(0.05)
