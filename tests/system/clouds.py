"""A lab with its cloud up, for tests of promises that need all of it; and the SDK to act as a user would."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openstack
from msgspec import structs
from openstack.connection import Connection

from suimon.lab.cloud import Cloud, Record
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PHYSNET, PUBLIC_GATEWAY, PUBLIC_NETWORK, Host, LabConfig, Layout
from suimon.model.gateways import candidates, ranked
from tests.patience import patient


@contextmanager
def two_hypervisors(
    name: str,
    *,
    hosts: int = 2,
    sampling: int = 0,
    program: Sequence[str] = (),
    make: Callable[[Layout, Record], Cloud] = Cloud,
) -> Iterator[Lab]:
    """Or more; with `sampling`, a collector as well; `program` is run for `suimon`; `make` the cloud. Taken down in any
    case.
    """
    with free_lab(name, hosts=hosts) as config:
        lab = Lab(structs.replace(config, sampling=sampling), print, make)
        lab.cloud.program = program or lab.cloud.program
        try:
            lab.up()
            yield lab
        finally:
            lab.down()


@contextmanager
def free_lab(name: str, *, hosts: int = 2) -> Iterator[LabConfig]:
    """A lab whose name, addresses and port are no other test's, in whatever process or clone of this machine.

    Its number is whoever's binds an abstract socket of that name, which the kernel gives to one and takes back from the
    dead. Its directory is short: sockets have to fit 107 bytes.
    """
    with TemporaryDirectory(prefix="smt") as root, socket.socket(socket.AF_UNIX) as claim:
        for number in range(100, 256):
            with suppress(OSError):
                claim.bind(f"\0suimon-lab-{number}")
                break
        else:
            raise AssertionError("every number of a lab is taken")
        yield LabConfig(f"{name}{number}", hosts, number, 9600 + number, f"{root}/labs")


def eventually(true: Callable[[], bool], timeout_s: float = 20) -> None:
    """Until it is so; for what tells nobody when it changes. Asking takes half of the time at most, and a processor
    that others need.
    """
    asked = time.monotonic()
    deadline = asked + patient(timeout_s)
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(min(0.2, max(0.02, time.monotonic() - asked)))
        asked = time.monotonic()


def connect(lab: Lab) -> Connection:
    """The unmodified SDK, as users' programs have it. It logs in once a lab: that takes a tenth of a second of CPU."""
    return _connection(lab.layout.clouds_yaml)


@cache
def _connection(clouds_yaml: Path) -> Connection:
    config = openstack.config.OpenStackConfig(config_files=[str(clouds_yaml)])
    return Connection(config=config.get_one("suimon"))


def network(lab: Lab) -> str:
    """A network with room for what comes and goes; its id."""
    cloud = connect(lab).network
    made = cloud.create_network(name="kept")
    cloud.create_subnet(network_id=made.id, ip_version=4, cidr="10.20.0.0/16")
    return str(made.id)


def outside_network(lab: Lab) -> Any:
    """The one that the internet host is on, with a hundred of its addresses to give away."""
    cloud = connect(lab).network
    flat = {"provider_network_type": "flat", "provider_physical_network": PHYSNET}
    made = cloud.create_network(name="outside", is_router_external=True, **flat)
    pool = [{"start": str(PUBLIC_NETWORK[100]), "end": str(PUBLIC_NETWORK[200])}]
    where = {"cidr": str(PUBLIC_NETWORK), "gateway_ip": PUBLIC_GATEWAY, "allocation_pools": pool}
    cloud.create_subnet(network_id=made.id, ip_version=4, enable_dhcp=False, **where)
    return made


def inside_network(lab: Lab, outside: Any) -> tuple[Any, Any]:
    """A network, 10.9.0.0/24, and the router that leads it outside."""
    cloud = connect(lab).network
    made = cloud.create_network(name="inside")
    subnet = cloud.create_subnet(network_id=made.id, ip_version=4, cidr="10.9.0.0/24")
    router = cloud.create_router(name="way-out", external_gateway_info={"network_id": outside.id})
    cloud.add_interface_to_router(router, subnet=subnet.id)
    return made, cloud.get_router(router.id)


def leading_out(lab: Lab, router: Any) -> list[Host]:
    """The hosts that lead the router out, the first by rank first."""
    order = ranked(router.id, candidates((each.name, each.tunnel_ip) for each in lab.layout.hosts))
    return [lab.layout.host(each.host) for each in order]


def guest(lab: Lab, network_id: str, name: str, host: str, *, movable: bool = False) -> Guest:
    """A guest with a port of its own, and its lease; Nova's, if it is to move."""
    owner = {"device_owner": "compute:nova"} if movable else {}
    port = connect(lab).network.create_port(network_id=network_id, name=name, binding_host_id=host, **owner)
    return lab.guests.lease(lab.guests.add(name, host, port.id, port.mac_address, movable=movable))
