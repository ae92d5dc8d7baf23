"""The same work on OVN: Debian's packages, unpacked into a directory and run from there; nothing is installed.

One chassis is real (an Open vSwitch with the userspace datapath and ovn-controller), 50 are rows that say where other
ports are. A port is what Neutron's ML2/OVN driver writes for one, in one transaction: a switch port with its address
and DHCP options, in its security group and in the one that drops the rest (networking-ovn's `pg_drop`).
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from monitor import Monitor, flow_count

from suimon.dataplane import ovsdb
from suimon.dataplane.ovsdb import as_map, as_set, named, reference
from suimon.lab import processes
from suimon.lab.openvswitch import OpenVSwitch
from suimon.lab.swarm import use
from suimon.lab.swarm_cloud import NETWORKS, NETWORKS_ON_HOST

PACKAGES: Final = ("ovn-common", "ovn-central", "ovn-host")
CHASSIS: Final = 50
_NAMESPACE: Final = "suimon-bench-ovn"
_ENCAP_IP: Final = "192.0.2.1"
_BATCH: Final = 250
PATIENCE_S: Final = 300.0
_NB: Final = {
    "NB_Global": ["nb_cfg", "hv_cfg"],
    "Logical_Switch": ["name"],
    "Logical_Switch_Port": ["name", "up"],
    "Port_Group": ["name"],
    "DHCP_Options": ["cidr"],
    "Chassis": ["name"],
}


class Database:
    """Rows of one OVSDB database as they are now, by table and uuid."""

    def __init__(self, path: Path, name: str, monitored: dict[str, list[str]]) -> None:
        config = ovsdb.Config(timeout_s=PATIENCE_S, database=name)
        self.rows: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in monitored}
        self._news = asyncio.Event()
        self.connection = ovsdb.Connection(config, path, monitored, self._take)

    def uuid(self, table: str, column: str, value: str) -> str:
        return next(uuid for uuid, row in self.rows[table].items() if row[column] == value)

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self._news.clear()
                await self._news.wait()

    def _take(self, updates: ovsdb.TableUpdates) -> None:
        for table, rows in updates.items():
            for uuid, update in rows.items():
                if update.new is None:
                    self.rows[table].pop(uuid, None)
                else:
                    self.rows[table][uuid] = update.new
        self._news.set()


class Ovn:
    """`at()` brings it up with its networks and takes it away again."""

    def __init__(self, directory: Path, layout: str) -> None:
        self._networks = 1 if layout == "b" else NETWORKS
        self._local_networks = 1 if layout == "b" else NETWORKS_ON_HOST
        self._directory, self._root = directory, directory / "root"
        self._env = processes.environment(directory) | {"OVN_RUNDIR": str(directory)}
        self._pids: dict[str, int] = {}
        self._switch = OpenVSwitch(_NAMESPACE, directory / "hv1", directory, self._record)
        self._env["OVS_RUNDIR"] = str(self._switch.rundir)
        self._numbers, self._l4_ports, self._grown = iter(range(1_000_000)), iter(range(1000, 65536)), False
        self.nb = Database(directory / "nb.sock", "OVN_Northbound", {t: c for t, c in _NB.items() if t != "Chassis"})
        self.sb = Database(directory / "sb.sock", "OVN_Southbound", {"Chassis": _NB["Chassis"]})
        self.vs = Database(
            self._switch.rundir / "db.sock", "Open_vSwitch", {"Interface": ["name", "external_ids"], "Bridge": ["name"]}
        )

    @classmethod
    @asynccontextmanager
    async def at(cls, layout: str) -> AsyncIterator[Self]:
        with tempfile.TemporaryDirectory(prefix="suimon-ovn-") as folder:
            ovn = cls(Path(folder), layout)
            serving: list[asyncio.Task[Any]] = []
            try:
                await asyncio.to_thread(ovn._start)
                serving += [asyncio.create_task(each.connection.run()) for each in (ovn.nb, ovn.sb, ovn.vs)]
                await ovn._lay_out()
                yield ovn
            finally:
                for task in serving:
                    task.cancel()
                await asyncio.gather(*serving, return_exceptions=True)
                await asyncio.to_thread(ovn._stop)

    async def grow(self, host_ports: bool, count: int) -> tuple[float, float]:
        """So many more ports, here and plugged or elsewhere: (seconds until in force, milliseconds of CPU each)."""
        self._grown = True
        before, began = self._cpu_s(), time.monotonic()
        names = []
        for at in range(0, count, _BATCH):
            batch = [self._port(host_ports) for _ in range(min(_BATCH, count - at))]
            names += [name for name, _ in batch]
            await self.nb.connection.transact([each for _, operations in batch for each in operations])
        if host_ports:
            await self.vs.connection.transact([each for name in names for each in self._plugging(name)])
        await self._settled()
        if not host_ports:
            await self._bind_elsewhere(names)
        await self._settled()
        return time.monotonic() - began, (self._cpu_s() - before) * 1000 / count

    async def measured(self, rounds: int) -> dict[str, float]:
        found = [await self._ready() for _ in range(rounds + 1)][1:]
        figures = {name: statistics.median(each[name] for each in found) for name in found[0]}
        if self._grown:  # A group without ports here has no flow here.
            figures["rule in force, ms"] = statistics.median([await self._rule() for _ in range(rounds)])
        figures["flows on the host"] = float(flow_count(self._switch))
        return figures

    async def _ready(self) -> dict[str, float]:
        await self._settled()
        before, began = self._cpu_s(), time.monotonic()
        name, operations = self._port(True)
        await self.nb.connection.transact(operations)
        await self.vs.connection.transact(self._plugging(name))
        await self.vs.until(lambda: self._installed(name))
        flows_in = time.monotonic()
        await self.nb.until(lambda: self._row("Logical_Switch_Port", name).get("up") is True)
        active = time.monotonic()
        await self._settled()
        cpu_ms = (self._cpu_s() - before) * 1000
        return {"flows in, ms": (flows_in - began) * 1000, "ACTIVE, ms": (active - began) * 1000, "CPU ms/port": cpu_ms}

    async def _rule(self) -> float:
        async with Monitor().watching(self._switch) as monitor:
            acl = {"priority": 1002, "direction": "to-lport", "action": "allow-related"}
            acl["match"] = f"outport == @pg0 && ip4 && tcp.dst == {next(self._l4_ports)}"
            began = time.monotonic()
            await self.nb.connection.transact(
                [_insert("ACL", acl, "acl"), self._added("Port_Group", "pg0", "acls", "acl")]
            )
            return await monitor.after(began)

    def _port(self, here: bool) -> tuple[str, list[ovsdb.Operation]]:
        number = next(self._numbers)
        network, at = number % (self._local_networks if here else self._networks), number // self._networks + 10
        addresses = f"0a:{network:02x}:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}"
        addresses += f":{number & 255:02x} 10.{network + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        if self._networks > 1:
            addresses = f"{addresses.split()[0]} 10.{network}.{at >> 8}.{at & 255}"
        name, row = f"port{number}", f"row{number}"
        port = {"name": name, "addresses": addresses, "port_security": addresses, "enabled": True}
        port["dhcpv4_options"] = reference(self.nb.uuid("DHCP_Options", "cidr", _cidr(network)))
        lists = (("Logical_Switch", f"net{network}"), ("Port_Group", f"pg{network}"), ("Port_Group", "pg_drop"))
        return name, [
            _insert("Logical_Switch_Port", port, row),
            *(self._added(table, which, "ports", row) for table, which in lists),
        ]

    def _added(self, table: str, name: str, column: str, row: str) -> ovsdb.Operation:
        where = ovsdb.where_uuid(self.nb.uuid(table, "name", name))
        return {"op": "mutate", "table": table, "where": where, "mutations": [[column, "insert", named(row)]]}

    def _plugging(self, name: str) -> list[ovsdb.Operation]:
        interface = {"name": name, "type": "internal", "external_ids": as_map({"iface-id": name})}
        port = {"name": name, "interfaces": named(f"i{name}")}
        bridge = [["name", "==", "br-int"]]
        return [
            _insert("Interface", interface, f"i{name}"),
            _insert("Port", port, f"p{name}"),
            {"op": "mutate", "table": "Bridge", "where": bridge, "mutations": [["ports", "insert", named(f"p{name}")]]},
            {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]},
        ]

    def _row(self, table: str, name: str) -> dict[str, Any]:
        return next((row for row in self.nb.rows[table].values() if row["name"] == name), {})

    def _installed(self, name: str) -> bool:
        found = (row for row in self.vs.rows["Interface"].values() if row["name"] == name)
        return any(ovsdb.mapping(row, "external_ids").get("ovn-installed") == "true" for row in found)

    async def _bind_elsewhere(self, names: Sequence[str]) -> None:
        chassis = [self.sb.uuid("Chassis", "name", f"far{number}") for number in range(CHASSIS)]
        operations = [
            {
                "op": "update",
                "table": "Port_Binding",
                "where": [["logical_port", "==", name]],
                "row": {"chassis": reference(chassis[number % CHASSIS]), "up": True},
            }
            for number, name in enumerate(names)
        ]
        for at in range(0, len(operations), _BATCH):
            await self.sb.connection.transact(operations[at : at + _BATCH])

    async def _settled(self) -> None:
        """What `ovn-nbctl --wait=hv sync` waits for."""
        (world,) = self.nb.rows["NB_Global"].values()
        wanted = world["nb_cfg"] + 1
        await self.nb.connection.transact(
            [{"op": "update", "table": "NB_Global", "where": [], "row": {"nb_cfg": wanted}}]
        )
        await self.nb.until(lambda: next(iter(self.nb.rows["NB_Global"].values()))["hv_cfg"] >= wanted)

    async def _lay_out(self) -> None:
        drop = {"priority": 1001, "action": "drop"}
        out, into = ("from-lport", "inport == @pg_drop && ip"), ("to-lport", "outport == @pg_drop && ip")
        acls = [_insert("ACL", drop | {"direction": d, "match": m}, d[:2]) for d, m in (out, into)]
        group = {"name": "pg_drop", "acls": as_set([named("fr"), named("to")])}
        await self.nb.until(lambda: self.nb.rows["NB_Global"])
        await self.nb.connection.transact([*acls, _insert("Port_Group", group, "g")])
        for number in range(self._networks):
            await self.nb.connection.transact(list(_network(number)))
        for number in range(CHASSIS):
            name = f"far{number}"
            encap = {"type": "geneve", "ip": f"192.0.2.{number + 10}", "chassis_name": name}
            far = {"name": name, "hostname": name, "encaps": named("e")}
            await self.sb.connection.transact([_insert("Encap", encap, "e"), _insert("Chassis", far, "c")])
        await self._settled()

    def _start(self) -> None:
        unpack(self._directory, self._root)
        processes.run(["ip", "netns", "add", _NAMESPACE])
        processes.run(["ip", "-n", _NAMESPACE, "link", "set", "lo", "up"])
        self._switch.start()
        for name in ("nb", "sb"):
            database, schema = self._directory / f"{name}.db", self._root / f"usr/share/ovn/ovn-{name}.ovsschema"
            processes.run(["ovsdb-tool", "create", str(database), str(schema)], env=self._env)
            self._daemon(name, "ovsdb-server", str(database), f"--remote=punix:{self._directory}/{name}.sock")
        remotes = [f"--ovn{name}-db=unix:{self._directory}/{name}.sock" for name in ("nb", "sb")]
        for name in ("nb", "sb"):
            control = [self._binary(f"ovn-{name}ctl"), f"--db=unix:{self._directory}/{name}.sock", "init"]
            processes.run(control, env=self._env)
        self._daemon("northd", self._binary("ovn-northd"), *remotes)
        ids = {"system-id": "hv1", "hostname": "hv1", "ovn-remote": f"unix:{self._directory}/sb.sock"}
        ids |= {"ovn-encap-type": "geneve", "ovn-encap-ip": _ENCAP_IP, "ovn-bridge-datapath-type": "netdev"}
        said = [f"external_ids:{name}={value}" for name, value in ids.items()]
        bridge = ["--", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"]
        self._switch.vsctl("set", "Open_vSwitch", ".", *said, *bridge)
        self._daemon("controller", self._binary("ovn-controller"), self._switch.database)

    def _daemon(self, name: str, program: str, *args: str) -> None:
        pid_file = self._directory / f"{name}.pid"
        kept = ["--detach", "--no-chdir", f"--pidfile={pid_file}", f"--log-file={self._directory}/{name}.log"]
        inside = ["ip", "netns", "exec", _NAMESPACE, program, *args, *kept, "-vconsole:off"]
        processes.run(inside, env=self._env, timeout_s=60)
        self._pids[name] = int(pid_file.read_text())

    def _binary(self, name: str) -> str:
        return str(self._root / "usr/bin" / name)

    def _record(self, name: str, process: processes.Process) -> None:
        self._pids[name] = process.pid

    def _cpu_s(self) -> float:
        return sum(use(pid).cpu_s for pid in self._pids.values())

    def _stop(self) -> None:
        processes.end(processes.marked(self._directory))
        with suppress(Exception):
            processes.run(["ip", "netns", "delete", _NAMESPACE])


def unpack(directory: Path, root: Path) -> None:
    """Debian's packages, from its archive. Raises when there is none for this machine."""
    subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=directory, check=True, stdout=sys.stderr)
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)


def _network(number: int) -> list[ovsdb.Operation]:
    """A switch with a router and DHCP, and a group whose members hear each other and may talk to all."""
    mac, group = f"0a:ff:00:00:00:{number:02x}", f"pg{number}"
    rules = (
        ("from-lport", f"inport == @{group} && ip4"),
        ("from-lport", f"inport == @{group} && ip6"),
        ("to-lport", f"outport == @{group} && ip4 && ip4.src == ${group}_ip4"),
        ("to-lport", f"outport == @{group} && ip6 && ip6.src == ${group}_ip6"),
    )
    allow = {"priority": 1002, "action": "allow-related"}
    acls = [_insert("ACL", allow | {"direction": d, "match": m}, f"a{n}") for n, (d, m) in enumerate(rules)]
    gateway = f"10.{number}.0.1"
    options = {"lease_time": "43200", "mtu": "1442", "router": gateway, "server_id": gateway, "server_mac": mac}
    leg = {"name": f"net{number}-r", "type": "router", "addresses": "router"}
    leg["options"] = as_map({"router-port": f"r{number}-net"})
    return [
        *acls,
        _insert("Port_Group", {"name": group, "acls": as_set([named(f"a{n}") for n in range(4)])}, "g"),
        _insert("DHCP_Options", {"cidr": _cidr(number), "options": as_map(options)}, "d"),
        _insert("Logical_Switch_Port", leg, "lsp"),
        _insert("Logical_Switch", {"name": f"net{number}", "ports": named("lsp")}, "ls"),
        _insert("Logical_Router_Port", {"name": f"r{number}-net", "mac": mac, "networks": f"{gateway}/16"}, "lrp"),
        _insert("Logical_Router", {"name": f"r{number}", "ports": named("lrp")}, "lr"),
    ]


def _cidr(network: int) -> str:
    return f"10.{network}.0.0/16"


def _insert(table: str, row: dict[str, Any], name: str) -> ovsdb.Operation:
    return {"op": "insert", "table": table, "row": row, "uuid-name": name}
