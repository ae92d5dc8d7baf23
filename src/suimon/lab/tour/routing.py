"""Step 2: a router without a router node, and a floating IP."""

from __future__ import annotations

from suimon.lab import processes
from suimon.lab.layout import PHYSNET, PUBLIC_GATEWAY, PUBLIC_NETWORK, Host
from suimon.lab.tour.guide import Guide
from suimon.lab.tour.walk import boot_all


def show(guide: Guide) -> None:
    _between_subnets(guide)
    _floating_ip(guide)


def _between_subnets(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell("A second network, and a router between the two.")
    cloud.run("network", "create", "green", "--provider-network-type", "vxlan")
    cloud.run("router", "create", "r1")
    cloud.run("subnet", "create", "green-subnet", "--network", "green", "--subnet-range", "10.0.1.0/24")
    for subnet in ("blue-subnet", "green-subnet"):
        cloud.run("router", "add", "subnet", "r1", subnet)
    boot_all(guide, "green", {"green1": "hv2"})
    address = guide.address("green1")
    guide.ping("blue1", address, through="in the other subnet, on another hypervisor")
    third = guide.lab.layout.host("hv3")
    before = _tunnel_packets(third)
    sent = guide.measure.udp("blue1", "green1", address, kbps=4000, seconds=2)
    passed = _tunnel_packets(third) - before
    lost = sent["sent"] - sent["received"]
    guide.check(lost == 0, f"{sent['sent']} routed packets from hv1 to hv2", f"{lost} lost")
    # A few frames of the host's own (ARP for a tunnel's other end) may come by.
    guide.check(passed < sent["sent"] / 20, "hv3 is no router node: packets on its tunnel NIC meanwhile", passed)


def _floating_ip(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell("The outside, a floating IP on it for blue1, and a rule that lets pings and the tour's traffic in.")
    flat = ["--external", "--provider-network-type", "flat", "--provider-physical-network", PHYSNET]
    cloud.run("network", "create", "outside", *flat)
    pool = f"start={PUBLIC_NETWORK[100]},end={PUBLIC_NETWORK[200]}"
    outside = ["--network", "outside", "--subnet-range", str(PUBLIC_NETWORK), "--gateway", PUBLIC_GATEWAY]
    cloud.run("subnet", "create", "outside-subnet", *outside, "--no-dhcp", "--allocation-pool", pool)
    cloud.run("router", "set", "r1", "--external-gateway", "outside")
    floating = cloud.create("floating", "ip", "create", "outside", "--port", "blue1")
    group = guide.default_group()
    allow = ["security", "group", "rule", "create", "--ingress", "--remote-ip", str(PUBLIC_NETWORK)]
    for what in (["icmp"], ["udp", "--dst-port", "9000"], ["tcp", "--dst-port", "9001"]):
        cloud.run(*allow, "--protocol", *what, group)
    address = str(floating["floating_ip_address"])
    # The API answers before the hosts have all of it in force.
    guide.await_true(lambda: guide.measure.ping("internet", address)[0] == 0)
    guide.ping("internet", address, through="(the floating IP of blue1)")
    guide.ping("blue1", PUBLIC_GATEWAY, through="on the internet, from behind its floating IP")
    stream = guide.measure.tcp("internet", "blue1", address, seconds=2)
    rate_mbps = stream["rate_kbps"] / 1000
    intact = stream["intact"] and stream["bytes"] > 0
    guide.check(intact, "a TCP stream from the internet to the floating IP arrives whole", f"{rate_mbps:.0f} Mbit/s")


def floating_address(guide: Guide) -> str:
    """What blue1 is called on the internet."""
    port = guide.cloud.show("port", "blue1")["id"]
    (floating,) = guide.cloud.table("floating", "ip", "list", "--port", port)
    return str(floating["Floating IP Address"])


def _tunnel_packets(host: Host) -> int:
    """Frames in and out of a hypervisor's tunnel NIC since it was made."""
    counters = [f"/sys/class/net/eth-tun/statistics/{way}_packets" for way in ("rx", "tx")]
    return sum(map(int, processes.run(["ip", "netns", "exec", host.namespace, "cat", *counters]).split()))
