"""Step 1: the classic walk. Two guests of a vxlan network on two hypervisors; guests of a VLAN provider network."""

from __future__ import annotations

from suimon.lab.tour.guide import Guide

PUBLIC_VLAN = 7
PUBLIC_VLAN_SUBNET = "198.51.100.0/24"
PUBLIC_VLAN_GATEWAY = "198.51.100.1"


def show(guide: Guide) -> None:
    _tunnel(guide)
    _vlan(guide)


def _tunnel(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell("A tenant's network carried in VXLAN tunnels, with a VNI of our choosing.")
    network = cloud.create("network", "create", "blue", "--provider-network-type", "vxlan", "--provider-segment", "100")
    guide.check(str(network["provider:segmentation_id"]) == "100", "the network has segmentation id", 100)
    subnet = cloud.create("subnet", "create", "blue-subnet", "--network", "blue", "--subnet-range", "10.0.0.0/24")
    guide.check(subnet["gateway_ip"] == "10.0.0.1", "the system chose the gateway", subnet["gateway_ip"])
    guide.tell("Ports with addresses chosen by the system: blue1 and blue3 for hypervisor 1, blue2 for hypervisor 2.")
    boot_all(guide, "blue", {"blue1": "hv1", "blue2": "hv2", "blue3": "hv1"})
    _await_active(guide, "blue1")
    guide.ping("blue1", guide.address("blue3"), through="on its own hypervisor")
    guide.ping("blue1", guide.address("blue2"), through="through the tunnel")
    stream = guide.measure.tcp("blue1", "blue2", guide.address("blue2"), seconds=2)
    size_mb, rate_mbps = stream["bytes"] / 1e6, stream["rate_kbps"] / 1000
    intact = stream["intact"] and stream["bytes"] > 0
    guide.check(intact, "a TCP stream through the tunnel arrives whole", f"{size_mb:.0f} MB at {rate_mbps:.0f} Mbit/s")


def _vlan(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell(
        "A public network on VLAN 7 of the provider network: no router of ours, but groups and DHCP all the same."
    )
    kind = ["--provider-network-type", "vlan", "--provider-physical-network", "public"]
    cloud.create("network", "create", "public7", *kind, "--provider-segment", str(PUBLIC_VLAN))
    where = ["--network", "public7", "--subnet-range", PUBLIC_VLAN_SUBNET, "--gateway", PUBLIC_VLAN_GATEWAY]
    cloud.create("subnet", "create", "public7-subnet", *where)
    guide.lab.add_internet_vlan(PUBLIC_VLAN, f"{PUBLIC_VLAN_GATEWAY}/24")
    boot_all(guide, "public7", {"pub1": "hv1", "pub2": "hv3"})
    guide.ping("pub1", PUBLIC_VLAN_GATEWAY, through="on the internet, over the VLAN")
    guide.ping("pub1", guide.address("pub2"), through="on another hypervisor, over the VLAN")
    lost, _ = guide.measure.ping("internet", guide.address("pub1"))
    guide.check(lost == 5, "pub1's security group keeps the internet out", "5 of 5 pings lost")


def boot_all(guide: Guide, network: str, homes: dict[str, str]) -> None:
    """A port for each guest, bound to its hypervisor; then the guests."""
    for name, host in homes.items():
        guide.boot(host, guide.cloud.create("port", "create", name, "--network", network, "--host", host))


def _await_active(guide: Guide, port: str) -> None:
    took_s = guide.await_true(lambda: guide.cloud.show("port", port)["status"] == "ACTIVE")
    guide.check(took_s < 10, f"{port} is ACTIVE: its hypervisor has acknowledged its flows")
