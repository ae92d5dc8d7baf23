"""Promise: a security group that is opened to the world is closed within a second of the call, on real packets, by a
policy alone; a person undoes it, is asked the next time, and can look up what was violated when.

What is shown is the tour's own step, in a cloud of one hypervisor.
"""

from __future__ import annotations

from suimon.lab.tour import policy
from suimon.lab.tour.guide import Guide
from tests.system.clouds import connect, guest, network, two_hypervisors

CHECKS = 14


def test_forbidden_repaired_undone_asked_and_remembered() -> None:
    with two_hypervisors("acts", hosts=1) as lab:
        inside = network(lab)
        cloud = connect(lab).network
        guest(lab, inside, "blue1", "hv1")
        group = cloud.create_security_group(name="guarded")
        port = cloud.create_port(
            network_id=inside, name="guarded1", binding_host_id="hv1", security_group_ids=[group.id]
        )
        lab.guests.lease(lab.guests.add("guarded1", "hv1", port.id, port.mac_address))
        guide = Guide(lab, print)
        with guide.cloud:
            policy.show(guide)
        assert guide.checked == CHECKS
