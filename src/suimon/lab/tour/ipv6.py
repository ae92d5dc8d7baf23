"""Step 3: IPv6 on networks in use; guests make their addresses of what their router advertises."""

from __future__ import annotations

import msgspec

from suimon.lab.openstack import Json
from suimon.lab.tour.guide import Guide

PREFIXES = {"blue": "2001:db8:b::/64", "green": "2001:db8:e::/64"}


def show(guide: Guide) -> None:
    guide.tell(
        "IPv6 for both networks while their guests run. Each makes its address of its MAC and the prefix that the"
    )
    guide.tell("router advertises (SLAAC); the port has the same address already, and antispoofing knows it.")
    modes = ["--ip-version", "6", "--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac"]
    for network, prefix in PREFIXES.items():
        subnet = f"{network}6-subnet"
        guide.cloud.run("subnet", "create", subnet, "--network", network, *modes, "--subnet-range", prefix)
        guide.cloud.run("router", "add", "subnet", "r1", subnet)
    addresses = {name: _formed(guide, name) for name in ("blue1", "blue2", "green1")}
    guide.ping("blue1", addresses["blue2"], through="through the tunnel")
    guide.ping("blue1", addresses["green1"], through="through the router, which is on its own hypervisor")


def _formed(guide: Guide, name: str) -> str:
    """The IPv6 address of a port, once its guest has it, too."""
    fixed = [str(each["ip_address"]) for each in guide.cloud.show("port", name)["fixed_ips"]]
    (address,) = [each for each in fixed if ":" in each]
    took_s = guide.await_true(lambda: address in _addresses(guide, name))
    guide.check(took_s < 10, f"{name} has made itself the address of its port", address)
    return address


def _addresses(guide: Guide, name: str) -> list[str]:
    """Those that the guest's kernel has looked for duplicates of, and uses."""
    guest = guide.lab.guests.get(name)
    shown = guide.lab.guests.run(guest, ["ip", "-6", "-j", "address", "show", "dev", "eth0", "scope", "global"])
    devices = msgspec.json.decode(shown, type=list[Json])
    found = [address for device in devices for address in device.get("addr_info", ())]
    return [str(address["local"]) for address in found if address and not address.get("tentative")]
