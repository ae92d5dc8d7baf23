"""Promise: the limits' self-test measures a real limit, and leaves nothing behind."""

from suimon.lab.lab import Lab
from suimon.lab.measure import Probe
from suimon.lab.processes import environment
from suimon.lab.selftest.in_lab import lab_ground
from suimon.lab.selftest.matrix import Limit, measured
from suimon.lab.underlay import existing_namespaces
from tests.system.clouds import connect, eventually, two_hypervisors

LIMIT = Limit("kbps", 5000)


def test_a_limit_is_measured_and_nothing_is_left() -> None:
    with two_hypervisors("limits") as lab:
        before = _there(lab)
        with lab_ground(lab, [LIMIT]) as ground:
            assert list(ground.peers) == ["same host", "tunnel", "floating IP"]
            cells = measured(
                ground, lambda where, *args: Probe(where, args, environment(lab.layout.directory)), (LIMIT,), 2
            )
            first = next(cells)
        assert not first.failure and abs(first.off) < 0.5, first
        # The agents take their router's namespaces away when they hear of it.
        eventually(lambda: _there(lab) == before)
        cloud = connect(lab).network
        left = [each.name for each in (*cloud.networks(), *cloud.routers(), *cloud.ports(), *cloud.qos_policies())]
        assert left == ["outside"]


def _there(lab: Lab) -> list[str]:
    """Namespaces and switches' ports."""
    ports = [lab.switch(host.name).vsctl("list-ports", "br-int") for host in lab.layout.hosts]
    return sorted(name for name in existing_namespaces() if lab.layout.owns_namespace(name)) + ports
