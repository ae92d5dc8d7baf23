"""The lab as a whole: up, down, status, and the parts by name."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network

import msgspec

from suimon.dataplane.kernel import kernel_datapath
from suimon.lab import processes
from suimon.lab.cloud import COLLECTOR, CONTROLLER, Cloud, Record
from suimon.lab.error import LabError
from suimon.lab.guests import Guest, Guests
from suimon.lab.journal import Entry, Journal
from suimon.lab.layout import PUBLIC_NETWORK, Host, LabConfig, Layout
from suimon.lab.openvswitch import OpenVSwitch
from suimon.lab.underlay import Underlay, existing_namespaces

PROGRAMS = (
    "ip",
    "ethtool",
    "nft",
    "sysctl",
    "ovsdb-tool",
    "ovsdb-server",
    "ovs-vswitchd",
    "ovs-vsctl",
    "ovs-ofctl",
    "udhcpc",
)
INTERNET = "internet"

Say = Callable[[str], None]


class HostStatus(msgspec.Struct, frozen=True):
    name: str
    namespace: str
    switch_running: bool
    agent_pid: int | None


class Status(msgspec.Struct, frozen=True):
    """`state` is `absent`, `half up` (an `up` or a `down` was interrupted), `up` or `dead` (all processes are gone)."""

    state: str
    controller_pid: int | None = None
    collector_pid: int | None = None
    """None, too, in a lab that has none."""
    hosts: tuple[HostStatus, ...] = ()
    guests: tuple[Guest, ...] = ()


class Lab:
    """A lab by its configuration; nothing happens before `up`. `say` gets a line of progress at a time; `cloud` makes
    the part of it that is Suimon.
    """

    def __init__(self, config: LabConfig, say: Say, cloud: Callable[[Layout, Record], Cloud] = Cloud) -> None:
        self.layout = Layout(config.checked())
        self._say = say
        self._journal = Journal(self.layout.directory / "journal")
        self.cloud = cloud(self.layout, self._record)
        self.wires = Underlay(self.layout, self._intend_namespace)
        self.guests = Guests(self.layout, self.wires, self.switch)

    @classmethod
    def load(cls, config: LabConfig, say: Say) -> Lab:
        """The lab of this name with the settings it was brought up with, if it is there."""
        try:
            saved = (Layout(config.checked()).directory / "lab.json").read_bytes()
        except FileNotFoundError:
            return cls(config, say)
        return cls(msgspec.json.decode(saved, type=LabConfig), say)

    def up(self, *, cloud: bool = True) -> None:
        """Everything, or without `cloud` only the hypervisors with their switches. A failure takes it down again.

        What is left of one that was interrupted, or whose machine was restarted, is removed first.
        """
        self._check_machine()
        with self._locked():
            if (state := self.state()) == "up":
                raise LabError(f"The lab {self.layout.config.name!r} is up already; `suimon lab down` removes it.")
            if state != "absent":
                self._say(f"  a lab {self.layout.config.name!r} that is {state} is removed first")
                self._take_down()
            self.wires.check_clashes()
            # From here on there is something to take down: the configuration stands for the whole.
            (self.layout.directory / "lab.json").write_bytes(msgspec.json.encode(self.layout.config))
            try:
                self._build(cloud)
            except BaseException:
                self._take_down()
                raise

    def down(self) -> None:
        """Leave nothing behind, whatever state it was in; nothing to do is no error."""
        _check_root()
        with self._locked():
            self._take_down()

    def state(self) -> str:
        if (self.layout.directory / "ready").exists():
            return "up" if any(map(processes.alive, self._processes())) else "dead"
        made = (self.layout.directory / "lab.json").exists()
        return "half up" if made or self._namespaces() else "absent"

    def status(self) -> Status:
        state = self.state()
        if state != "up":
            return Status(state)
        controller, collector = (
            process.pid if (process := self.cloud.process(name)) else None for name in (CONTROLLER, COLLECTOR)
        )
        hosts = tuple(map(self._host_status, self.layout.hosts))
        return Status(state, controller, collector, hosts, tuple(self.guests.all()))

    def require_up(self) -> None:
        if (state := self.state()) != "up":
            raise LabError(f"The lab {self.layout.config.name!r} is {state}; `suimon lab up` makes it.")

    def switch(self, name: str) -> OpenVSwitch:
        """The Open vSwitch of a hypervisor, or of the internet host."""
        if name == INTERNET:
            namespace, directory = self.layout.internet, self.layout.directory / INTERNET
        else:
            host = self.layout.host(name)
            namespace, directory = host.namespace, host.directory
        return OpenVSwitch(namespace, directory / "ovs", self.layout.directory, self._record)

    def namespace(self, name: str) -> str:
        """Of a hypervisor, `internet`, `fabric`, or a guest."""
        known = {host.name: host.namespace for host in self.layout.hosts}
        known |= {INTERNET: self.layout.internet, "fabric": self.layout.fabric}
        return known[name] if name in known else self.guests.get(name).namespace

    def add_internet_vlan(self, vlan: int, address: str) -> None:
        """Give the internet host a leg on a VLAN of the provider network; `address` is like 198.51.100.1/24."""
        device = f"vlan{vlan}"
        leg = ["add-port", "br-internet", device, f"tag={vlan}", "--", "set", "interface", device, "type=internal"]
        self.switch(INTERNET).vsctl(*leg)
        self.wires.set_address(self.layout.internet, device, address)

    def add_internet_servers(self, network: IPv4Network) -> None:
        """The internet host is whoever has an address of this network."""
        # All of them are local there at once (ip-route(8), type local).
        self.wires.set_local(self.layout.internet, network)

    def start_switch(self, host: Host) -> None:
        """With br-tun, the host's own: userspace tunnels need a bridge that holds the tunnel address."""
        switch = self.switch(host.name)
        switch.start()
        # Of the agent's datapath, so that a packet for a tunnel goes from one to the other.
        datapath = "system" if kernel_datapath() else "netdev"
        bridge = ["add-br", "br-tun", "--", "set", "bridge", "br-tun", f"datapath_type={datapath}"]
        switch.vsctl(*bridge, "fail_mode=standalone", "--", "add-port", "br-tun", "eth-tun")
        self.wires.set_address(host.namespace, "br-tun", f"{host.tunnel_ip}/24")

    def kill_vswitchd(self, host: Host) -> None:
        """kill -9. Its taps stay (they are persistent), and so does the tunnel address of br-tun."""
        processes.kill(self.switch(host.name).vswitchd())

    def start_vswitchd(self, host: Host) -> None:
        """Returns once br-tun forwards again and knows its peers."""
        self.switch(host.name).start_vswitchd()
        self.switch(host.name).vsctl("wait-until", "interface", "br-tun", "ofport>0")
        self._introduce_tunnels([host])

    def _build(self, cloud: bool) -> None:
        begun = time.monotonic()

        def done(what: str) -> None:
            self._say(f"  {time.monotonic() - begun:5.1f} s  {what}")

        self.wires.build()
        done(f"{len(self.layout.hosts)} hypervisors, three networks between them, an internet host in {PUBLIC_NETWORK}")
        with ThreadPoolExecutor() as pool:
            controller = pool.submit(self.cloud.start_controllers) if cloud else None
            list(pool.map(self.start_switch, self.layout.hosts))
            self._start_internet()
            self._introduce_tunnels(self.layout.hosts)
            done("an Open vSwitch on each")
            if controller:
                controller.result()
                done(f"controller at {self.layout.api_url}")
                collector = pool.submit(self._start_collector) if self.layout.config.sampling else None
                list(pool.map(self._start_agent, self.layout.hosts))
                done("every hypervisor joined, its agent at work")
                if collector:
                    collector.result()
                    done(f"a collector takes flow records at {self.layout.export_to}")
        (self.layout.directory / "ready").touch()

    def _introduce_tunnels(self, to: Sequence[Host]) -> None:
        """Tell these switches their peers' MACs: userspace tunnels drop what they send while they resolve one."""
        macs = {
            host: self.switch(host.name).vsctl("get", "interface", "br-tun", "mac_in_use")
            for host in self.layout.hosts
            if [host] != to
        }
        for host in to:
            switch = self.switch(host.name)
            switch.appctl("tnl/neigh/aging", "3600")
            for peer, mac in macs.items():
                if peer != host:
                    switch.appctl("tnl/neigh/set", "br-tun", peer.tunnel_ip, mac.strip().strip('"'))

    def _start_internet(self) -> None:
        """An Open vSwitch of its own takes the VLANs apart: not every kernel has 802.1Q devices."""
        switch = self.switch(INTERNET)
        switch.start()
        switch.vsctl("add-br", "br-internet", "--", "set", "bridge", "br-internet", "datapath_type=netdev")
        switch.vsctl("add-port", "br-internet", "trunk")

    def _start_collector(self) -> None:
        self.cloud.join_collector()
        self.cloud.start_collector()

    def _start_agent(self, host: Host) -> None:
        self.cloud.join(host, self.cloud.token(host))
        self.cloud.start_agent(host)
        self.cloud.await_agent(host)

    def _take_down(self) -> None:
        # Again until nothing is found: a command that a killed `up` left running may make one more thing.
        while self._remove_found():
            pass
        self.wires.disconnect_controller()
        # Not the directory itself, which is locked.
        for path in self.layout.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _remove_found(self) -> bool:
        """Whether there was anything to remove. Processes go first: they may be making namespaces."""
        spared = processes.ancestors()
        marked = {process for process in processes.marked(self.layout.directory) if process.pid not in spared}
        processes.end(marked | self._processes())
        intended = {entry.name for entry in self._journal.entries() if entry.kind == "namespace"}
        namespaces = (intended & existing_namespaces()) | set(self._namespaces())
        processes.end(processes.living_in(namespaces))
        self.wires.remove(namespaces)
        return bool(marked or namespaces)

    def _namespaces(self) -> list[str]:
        return [name for name in existing_namespaces() if self.layout.owns_namespace(name)]

    def _processes(self) -> set[processes.Process]:
        """Those that it started, whether or not they have ended since."""
        entries = self._journal.entries()
        return {processes.Process(entry.pid, entry.started) for entry in entries if entry.kind == "process"}

    def _host_status(self, host: Host) -> HostStatus:
        agent = self.cloud.process(host.name)
        return HostStatus(host.name, host.namespace, self.switch(host.name).running(), agent.pid if agent else None)

    def _intend_namespace(self, name: str) -> None:
        self._journal.write(Entry("namespace", name))

    def _record(self, name: str, process: processes.Process) -> None:
        self._journal.write(Entry("process", name, process.pid, process.started))

    def _check_machine(self) -> None:
        _check_root()
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise LabError(f"Programs are missing: {', '.join(missing)}; `suimon doctor` says what to install.")

    def _lock(self, fd: int) -> None:
        """Waits a little: a child that a killed command was just starting holds its lock for a moment longer."""
        for _ in range(20):
            with suppress(BlockingIOError):
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.05)
        name = self.layout.config.name
        raise LabError(f"Another command is bringing the lab {name!r} up or down; wait for it.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time, by a lock on the state directory, which a killed process lets go."""
        try:
            self.layout.directory.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.layout.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._lock(fd)
                yield
            finally:
                os.close(fd)
        finally:
            # Both go only when they are empty: when nothing was made, or all of it is gone.
            with suppress(OSError):
                self.layout.directory.rmdir()
            with suppress(OSError):
                self.layout.directory.parent.rmdir()


def _check_root() -> None:
    if os.geteuid() != 0:
        raise LabError("The lab makes network namespaces, which only root may do; run it with sudo.")
