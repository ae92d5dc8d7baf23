"""A lab with its cloud up, for tests of promises that need all of it; and the SDK to act as a user would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import openstack
from openstack.connection import Connection

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig


@contextmanager
def two_hypervisors(name: str, *, hosts: int = 2) -> Iterator[Lab]:
    """Or more. Taken down in any case. Its directory is short: sockets have to fit 107 bytes."""
    number = 100 + os.getpid() % 100
    with TemporaryDirectory(prefix="smt") as root:
        lab = Lab(LabConfig(name=name, hosts=hosts, number=number, api_port=9600 + number, root=f"{root}/labs"), print)
        try:
            lab.up()
            yield lab
        finally:
            lab.down()


def connect(lab: Lab) -> Connection:
    """The unmodified SDK, as users' programs have it."""
    config = openstack.config.OpenStackConfig(config_files=[str(lab.layout.clouds_yaml)])
    return Connection(config=config.get_one("suimon"))


def network(lab: Lab) -> str:
    """A network with room for what comes and goes; its id."""
    cloud = connect(lab).network
    made = cloud.create_network(name="kept")
    cloud.create_subnet(network_id=made.id, ip_version=4, cidr="10.20.0.0/16")
    return str(made.id)


def guest(lab: Lab, network_id: str, name: str, host: str) -> Guest:
    """A guest with a port of its own, and its lease."""
    port = connect(lab).network.create_port(network_id=network_id, name=name, binding_host_id=host)
    return lab.guests.lease(lab.guests.add(name, host, port.id, port.mac_address))
