"""Names, addresses and directories of a lab: pure, all derived from its `LabConfig`."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

import msgspec

from suimon.lab.error import LabError

PHYSNET: Final = "public"
"""The one provider network: flat (untagged) and any VLAN."""
PUBLIC_NETWORK: Final = IPv4Network("203.0.113.0/24")
"""What the internet host has on the flat provider network (TEST-NET-3, RFC 5737: routed nowhere)."""
PUBLIC_GATEWAY: Final = "203.0.113.1"
MARKER: Final = "SUIMON_LAB"
"""Every process of a lab carries this variable with the lab's state directory as its value."""


class LabConfig(msgspec.Struct, frozen=True):
    """A lab. Two labs at a time differ in `name`, `number` (third byte of the underlay addresses) and `api_port`.

    With `sampling` there is a collector too, to which each hypervisor exports one of so many packets.
    """

    name: str = "suimon"
    hosts: int = 3
    number: int = 0
    api_port: int = 9696
    root: str = "/var/lib/suimon-lab"
    sampling: int = 0

    def checked(self) -> LabConfig:
        """Itself, or a LabError. The name begins interface names (15 bytes) and namespaces found by prefix: no dash."""
        if not re.fullmatch(r"[a-z][a-z0-9]{0,8}", self.name):
            raise LabError(
                f"Lab name {self.name!r} must be 1 to 9 lower-case letters and digits, beginning with a letter."
            )
        if not 1 <= self.hosts <= 20:
            raise LabError(f"A lab has 1 to 20 hypervisors, not {self.hosts}.")
        if not 0 <= self.number <= 255:
            raise LabError(f"The number of a lab is 0 to 255, not {self.number}.")
        if not 1 <= self.api_port <= 65535:
            raise LabError(f"{self.api_port} is not a TCP port.")
        return self


class Host(msgspec.Struct, frozen=True):
    """A hypervisor: what it is called and where its things are."""

    name: str
    namespace: str
    management_ip: str
    tunnel_ip: str
    directory: Path

    @property
    def rundir(self) -> Path:
        """Where its Open vSwitch has its sockets."""
        return self.directory / "ovs" / "run"

    @property
    def agent_state(self) -> Path:
        return self.directory / "agent"


class Layout(msgspec.Struct, frozen=True):
    """Everything that a lab is made of, by name."""

    config: LabConfig

    @property
    def directory(self) -> Path:
        return Path(self.config.root) / self.config.name

    @property
    def management(self) -> IPv4Network:
        return IPv4Network(f"10.254.{self.config.number}.0/24")

    @property
    def tunnels(self) -> IPv4Network:
        return IPv4Network(f"172.31.{self.config.number}.0/24")

    @property
    def controller_ip(self) -> str:
        """The controller's address on the management network, where hosts reach it."""
        return str(self.management[1])

    @property
    def hosts_url(self) -> str:
        return f"http://{self.controller_ip}:9697"

    @property
    def records_listen(self) -> str:
        """Where the collector is asked: on the management network, as all of it."""
        return f"{self.controller_ip}:9698"

    @property
    def export_to(self) -> str:
        """Where the collector takes flow records."""
        return f"{self.controller_ip}:6343"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.config.api_port}"

    @property
    def root_link(self) -> str:
        """The controller's leg on the management network: the lab's only link in the root namespace."""
        return f"{self.config.name}-mgmt"

    @property
    def fabric(self) -> str:
        return f"{self.config.name}-fabric"

    @property
    def internet(self) -> str:
        return f"{self.config.name}-internet"

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(self._host(number) for number in range(1, self.config.hosts + 1))

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"The lab has no hypervisor {name!r}; it has {', '.join(host.name for host in self.hosts)}.")

    def guest_namespace(self, guest: str) -> str:
        return f"{self.config.name}-vm-{guest}"

    @property
    def controller_state(self) -> Path:
        return self.directory / "controller"

    @property
    def collector_state(self) -> Path:
        return self.directory / "collector"

    @property
    def clouds_yaml(self) -> Path:
        return self.controller_state / "clouds.yaml"

    def owns_namespace(self, namespace: str) -> bool:
        """Whether a namespace has a name that only this lab gives."""
        return bool(re.fullmatch(rf"{self.config.name}-(hv\d+(-smn.+|-services)?|fabric|internet|vm-.+)", namespace))

    def _host(self, number: int) -> Host:
        name = f"hv{number}"
        return Host(
            name=name,
            namespace=f"{self.config.name}-{name}",
            management_ip=str(self.management[10 + number]),
            tunnel_ip=str(self.tunnels[10 + number]),
            directory=self.directory / name,
        )
