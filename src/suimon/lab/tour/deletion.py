"""Step 12: everything is deleted through the API, and every bridge is as it was before step 1."""

from __future__ import annotations

from suimon.lab.tour.guide import Guide, differences
from suimon.lab.tour.routing import floating_address

_SUBNETS = ("blue-subnet", "green-subnet", "blue6-subnet", "green6-subnet")
_PORTS = ("blue1", "blue2", "blue3", "late1", "green1", "guarded1", "mover1", "pub1", "pub2")


def show(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell("Guests are switched off, and everything goes: floating IP, router, ports, networks, group, policy.")
    for guest in guide.lab.guests.all():
        guide.command(f"$ suimon lab guest remove {guest.name}")
        guide.lab.guests.remove(guest.name)
    cloud.run("floating", "ip", "delete", floating_address(guide))
    cloud.run("router", "unset", "r1", "--external-gateway")
    for subnet in _SUBNETS:
        cloud.run("router", "remove", "subnet", "r1", subnet)
    cloud.run("router", "delete", "r1")
    group = guide.default_group()
    cloud.run("port", "delete", *_PORTS)
    cloud.run("network", "delete", "blue", "green", "public7", "outside")
    cloud.run("security", "group", "delete", "guarded")
    cloud.run("network", "qos", "policy", "delete", "tight")
    _delete_added_rules(guide, group)
    guide.tell("Every bridge of every hypervisor is compared with its dump from before step 1 (counters left out).")
    guide.await_true(lambda: not differences(guide.before, guide.dumps()))
    left = differences(guide.before, guide.dumps())
    shown = "\n      ".join(["", *left[:20]]) if left else 0
    guide.check(not left, f"lines of {sum(map(len, guide.before.values()))} that differ", shown)


def _delete_added_rules(guide: Guide, group: str) -> None:
    """The tour's own rules in the default group, which stays."""
    rules = guide.cloud.table("security", "group", "rule", "list", group)
    added = [str(rule["ID"]) for rule in rules if rule["IP Protocol"] in ("icmp", "udp", "tcp")]
    guide.cloud.run("security", "group", "rule", "delete", *added)
