"""What a host knows: its view's objects, where guests are plugged, and indexes to find one from the other.

`set`, `delete`, `plug`, `wire` and `learn` change a fact and mark the owners whose flows depend on it. An owner's cost
must not grow with the cloud, so a fact about one port marks that port and, where it is the first or last of something
(the first peer on a host, the last port with a set of groups), the owner that stands for that something. No I/O, no
clock; the stages read it, `World` compiles from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from math import inf

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.entries import Entry, entries
from suimon.pipeline.fields import PROBE_ECN
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.shared import flood_part

Refused = AbstractSet[tuple[str, str]]

BRIDGE = Owner("bridge", "br-int")


class Probe(msgspec.Struct, frozen=True):
    """What is known of a probe before it comes: its EtherType and protocol, and for TCP and UDP its source port."""

    eth_type: int
    protocol: int
    l4_source: int = 0

    def looks(self) -> dict[str, object]:
        """Its addresses may be rewritten on the way. Whether it is the probe, its content says (agent.probes)."""
        matched: dict[str, object] = {"eth_type": self.eth_type, "ip_proto": self.protocol, "ip_ecn": PROBE_ECN}
        l4 = {6: "tcp_src", 17: "udp_src"}.get(self.protocol)
        return matched | {l4: self.l4_source} if l4 else matched


class Facts:
    """The facts of one host. Read the dictionaries freely; change them only through the methods."""

    def __init__(self, host: str, numbers: Numbers) -> None:
        self.host = host
        self.numbers = numbers
        self.objects: dict[view.Key, view.Object] = {}
        self.ofports: dict[str, int] = {}
        self.tunnels: dict[str, int] = {}
        self.physnets: dict[str, int] = {}
        self.neighbours: dict[tuple[str, str], str] = {}
        self.nats: dict[str, int] = {}
        self.away: frozenset[str] = frozenset()
        self.replaced: frozenset[str] = frozenset()
        self.refused: frozenset[tuple[str, str]] = frozenset()
        self.serving = True
        self.arrived: set[str] = set()
        self.probes: dict[str, Probe] = {}
        self.lapsed: set[str] = set()
        """Restrictions whose time is over, though they are still told."""
        self._indexes: defaultdict[str, defaultdict[object, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
        """Of each value under a key how many entries there are."""
        self.interfaces: dict[str, int] = {}
        self._ports_by_ofport: dict[int, str] = {}
        self._dirty: set[Owner] = {BRIDGE}
        self.links: set[Owner] = set()
        """Networks and routers that changed, or whose guests did, since `take_links`."""
        self._flooded: dict[str, tuple[Entry, ...]] = {}
        """By port that is found here, the entries that say in which part of its network's broadcasts it is."""

    # Changing facts.

    def set(self, thing: view.Object) -> None:
        """Learn of an object, or of its new state."""
        key = view.key(thing)
        before = self.objects.get(key)
        if before == thing:
            return
        if before is not None:
            self._mark_dependants(before)
        self.objects[key] = thing
        self.lapsed.discard(key[1])
        self._reindex(entries(before, self.host), entries(thing, self.host))
        self._mark_dependants(thing)
        if isinstance(thing, view.Port):
            self._seat(thing.id)
            self._flood(thing.id)
            if thing.active:
                self.arrived.discard(thing.id)

    def delete(self, key: view.Key) -> None:
        """Forget an object; unknown ones are no error (a delta may speak of what never came)."""
        before = self.objects.get(key)
        if before is None:
            return
        self._mark_dependants(before)
        del self.objects[key]
        self._reindex(entries(before, self.host), ())
        kind, name = key
        self.lapsed.discard(name)
        if kind == "port":
            self._free_meters(name)
            self._free_meters(f"{name}/trunk")
        if kind in ("network", "router", "port"):
            self.numbers.free(kind, name)
        if kind == "router":
            self.numbers.free("meter", f"router/{name}")
        if kind == "floating_ip":
            self.numbers.free("meter", f"quoted/floating_ip/{name}")
        if kind == "network":
            further = 1
            while self.numbers.free("group", f"{name}/{further}") is not None:
                further += 1
        if kind == "port":
            self._seat(name)
            self._flood(name)
            self.arrived.discard(name)

    def plug(self, port_id: str, ofport: int | None) -> None:
        """A guest's interface appeared as OpenFlow port `ofport`, or went away (None); and its subports with it."""
        before = self.interfaces.pop(port_id, None)
        if before is not None and self._ports_by_ofport.get(before) == port_id:
            del self._ports_by_ofport[before]
        if ofport is not None:
            self.interfaces[port_id] = ofport
            self._ports_by_ofport[ofport] = port_id
        for each in (port_id, *self.found("port@parent", port_id)):
            self._seat(each)

    def arrive(self, port_id: str) -> None:
        """A guest that is waited for (live migration) was heard on its interface; and its subports came with it."""
        if port_id not in self.arrived:
            self.arrived.add(port_id)
            came = (port_id, *self.found("port@parent", port_id))
            self._mark("port", came)
            for each in came:
                self._mark("floating_ip", self.found("floating_ip@port", each))

    def wire(self, tunnels: dict[str, int], physnets: dict[str, int]) -> None:
        """Where the tunnels of each kind and the provider networks leave br-int."""
        if (tunnels, physnets) != (self.tunnels, self.physnets):
            self.tunnels, self.physnets = dict(tunnels), dict(physnets)
            self._dirty.add(BRIDGE)
            self._mark("network", self._ids("network"))
            self._mark("vtep", map(str, self._indexes["vtep"]))
            self._mark("floating_ip", self._ids("floating_ip"))
            self._mark("router", self._ids("router"))

    def wire_nats(self, nats: dict[str, int]) -> None:
        """Where the namespaces of routers are on br-int, by device."""
        if nats != self.nats:
            self.nats = dict(nats)
            self._mark("router", self._ids("router"))

    def judge(self, away: AbstractSet[str], replaced: AbstractSet[str], refused: Refused, *, serving: bool) -> None:
        """Which gateway hosts (by tunnel address, this one included) don't serve, which of them were replaced, what
        single ones refuse (by tunnel address, this one's by "": `gateway.refusals`), and whether this host serves.
        """
        if refused != self.refused:
            self.refused = frozenset(refused)
            self._mark("router", self._ids("router"))
            self._mark("vtep", self.replaced)
            self._dirty.add(BRIDGE)
        if away != self.away:
            self.away = frozenset(away)
            self._mark("router", self._ids("router"))
        if replaced != self.replaced:
            self._mark("vtep", replaced ^ self.replaced)
            self.replaced = frozenset(replaced)
        if serving != self.serving:
            self.serving = serving
            self._dirty.add(BRIDGE)

    def learn(self, network_id: str, ip: str, mac: str | None) -> None:
        """A next hop on an external network answered (or is forgotten, None)."""
        if mac is None:
            self.neighbours.pop((network_id, ip), None)
        else:
            self.neighbours[network_id, ip] = mac
        self._dirty.add(Owner("neighbour", f"{network_id}/{ip}"))

    def expect(self, place: str, probe: Probe | None) -> None:
        """A probe is on its way to `port/<id>` here or out by `provider/<physnet>`, or is waited for no more (None)."""
        if probe is None:
            self.probes.pop(place, None)
        else:
            self.probes[place] = probe
        kind, _, name = place.partition("/")
        if kind == "port":
            self._mark("port", (name,))
        else:
            self._dirty.add(BRIDGE)
            self._mark("network", self._ids("network"))

    def lapse(self, now_s: float) -> float | None:
        """Lift what is over at `now_s` (UTC), while it is; when the next one is: infinity if all are, None of none."""
        ending = [self.objects["restriction", name] for name in self.found("restriction", "ending")]
        ends_s = {one.id: one.expires_s for one in ending if isinstance(one, view.Restriction) and one.expires_s}
        over = {name for name, end_s in ends_s.items() if end_s <= now_s}
        for name in sorted(over ^ self.lapsed):
            self._mark_dependants(self.objects["restriction", name])
        self.lapsed = over
        return min((inf if name in over else end_s for name, end_s in ends_s.items()), default=None)

    def take_dirty(self) -> AbstractSet[Owner]:
        """The owners to compile again; they are clean from now on."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def take_links(self) -> AbstractSet[Owner]:
        links, self.links = self.links, set()
        return links

    def network(self, network_id: str) -> view.Network | None:
        return self.objects.get(("network", network_id))  # type: ignore[return-value]

    def subnet(self, subnet_id: str) -> view.Subnet | None:
        return self.objects.get(("subnet", subnet_id))  # type: ignore[return-value]

    def port(self, port_id: str) -> view.Port | None:
        return self.objects.get(("port", port_id))  # type: ignore[return-value]

    def peer(self, port_id: str) -> view.Peer | None:
        return self.objects.get(("peer", port_id))  # type: ignore[return-value]

    def router(self, router_id: str) -> view.Router | None:
        return self.objects.get(("router", router_id))  # type: ignore[return-value]

    def group(self, group_id: str) -> view.SecurityGroup | None:
        return self.objects.get(("group", group_id))  # type: ignore[return-value]

    def gateways(self, physnet: str) -> view.Gateways | None:
        return self.objects.get(("gateways", physnet))  # type: ignore[return-value]

    def floating_ip(self, floating_id: str) -> view.FloatingIp | None:
        return self.objects.get(("floating_ip", floating_id))  # type: ignore[return-value]

    def qos(self, policy_id: str | None) -> view.QosPolicy | None:
        return self.objects.get(("qos", policy_id)) if policy_id else None  # type: ignore[return-value]

    def restrictions(self, port: view.Port) -> list[view.Restriction]:
        """Those that bind the port now: of itself, its trunk's parent, its project, its network or an address of it."""
        if port.infrastructure:
            return []
        addresses = {fixed.ip for fixed in port.fixed_ips} | {pair.cidr for pair in port.holds}
        for name in self.found("floating_ip@port", port.id):
            floating = self.floating_ip(name)
            addresses |= {floating.address} if floating else set()
        guest = [each for each in (port, self.port(port.parent or "")) if each and not each.infrastructure]
        keys = [*(("port", each.id) for each in guest), ("project", port.project_id), ("network", port.network_id)]
        keys += [("address", f"{port.project_id}/{address}") for address in sorted(addresses)]
        names = [name for kind, key in keys for name in self.found(f"restriction@{kind}", key)]
        return [thing for name in names if (thing := self.restriction(name))]

    def restriction(self, name: str) -> view.Restriction | None:
        """The one with this id, while it is in force."""
        return None if name in self.lapsed else self.objects.get(("restriction", name))  # type: ignore[return-value]

    @property
    def tunnel_ofport(self) -> int | None:
        """The tunnel that hosts talk to gateway hosts by."""
        return self.tunnels.get("vxlan")

    def tunnel(self, network: view.Network) -> int | None:
        """Where tunnels of the network's kind leave br-int."""
        return self.tunnels.get(network.kind)

    def port_by_ofport(self, ofport: int, vlan: int | None = None) -> view.Port | None:
        """Whose frames an interface carries, or those under a tag of its trunk."""
        port_id = self._ports_by_ofport.get(ofport)
        if vlan is not None:
            subports = map(self.port, self.found("port@parent", port_id))
            return next((port for port in subports if port and port.vlan == vlan), None)
        return self.port(port_id) if port_id else None

    def found(self, index: str, key: object) -> list[str]:
        """The values under a key of an index (see `entries`), sorted so that flows come out the same every time."""
        return sorted(self._indexes[index][key]) if self.has(index, key) else []

    def has(self, index: str, key: object) -> bool:
        return key in self._indexes[index]

    def keys(self, index: str) -> list[str]:
        return [str(key) for key in self._indexes[index]]

    def stateless(self, set_name: str) -> bool:
        """Whether a set of groups lets no answers pass by itself. The API lets no port have groups of both sorts."""
        groups = [self.group(group_id) for group_id in set_name.split(",")]
        return all(group is not None and not group.stateful for group in groups)

    def routed(self, network_id: str) -> bool:
        """Whether a router has a leg on the network: then others are met there, and packets complained about."""
        return self.has("router@network", network_id)

    def found_here(self, port_id: str) -> bool:
        """Whether the port is plugged here and its guest runs here, as far as the controller knows."""
        port = self.port(port_id)
        return port is not None and port.active and port_id in self.ofports

    def listens(self, port: view.Port) -> bool:
        """Whether the guest is here, as far as anybody knows; what is sent to one that isn't must not pile up."""
        return port.active or (port.parent or port.id) in self.arrived

    def number(self, kind: str, name: str) -> int:
        return self.numbers.get(kind, name)

    # Following.

    def _seat(self, port_id: str) -> None:
        """Whoever depends on where a port is plugged: at an interface of its own, or at its trunk's."""
        port = self.port(port_id)
        before, now = self.ofports.get(port_id), self.interfaces.get(port.parent or port_id if port else port_id)
        if before == now:
            return
        self.ofports.pop(port_id, None)
        if now is not None:
            self.ofports[port_id] = now
        self._mark("port", (port_id,))
        self._mark("floating_ip", self.found("floating_ip@port", port_id))
        self._mark("mac", self.found("claim@port", port_id))
        self._mark("local_ip", self.found("local@port", port_id))
        if port:
            self.links.add(Owner("network", port.network_id))
        self._flood(port_id)

    def _flood(self, port_id: str) -> None:
        """Take a port into a part of its network's broadcasts while it is found here: only that part is compiled."""
        port, before = self.port(port_id), self._flooded.get(port_id, ())
        now: tuple[Entry, ...] = ()
        if port is not None and self.found_here(port_id):
            part = flood_part(port)
            now = (("flood", part, port_id), ("flood@network", port.network_id, part))
        if now == before:
            return
        self._reindex(before, now)
        if now:
            self._flooded[port_id] = now
        else:
            del self._flooded[port_id]

    def _ids(self, kind: str) -> Iterator[str]:
        return (name for found, name in self.objects if found == kind)

    def _mark(self, kind: str, ids: Iterable[str]) -> None:
        marked = [Owner(kind, name) for name in ids]
        self._dirty.update(marked)
        if kind in ("network", "router"):
            self.links.update(marked)

    def _reindex(self, before: Iterable[Entry], after: Iterable[Entry]) -> None:
        gone, come = list(before), list(after)
        if gone and come:
            less, more = Counter(gone), Counter(come)
            gone, come = list((less - more).elements()), list((more - less).elements())
        for index, key, value in gone:
            values = self._indexes[index][key]
            values[value] -= 1
            if not values[value]:
                del values[value]
                self._came_or_went(index, key)
            if not values:
                del self._indexes[index][key]
                self._first_or_last(index, key)
        for index, key, value in come:
            fresh = key not in self._indexes[index]
            values = self._indexes[index][key]
            if value not in values:
                self._came_or_went(index, key)
            values[value] = values.get(value, 0) + 1
            if fresh:
                self._first_or_last(index, key)

    def _came_or_went(self, index: str, key: object) -> None:
        """The key got or lost a value: whatever lists the key's values changes."""
        if index in ("vtep@network", "flood@network"):
            self._mark("network", (str(key),))
        elif index == "flood":
            self._mark("flood", (str(key),))
        elif index == "claim":
            self._mark("mac", (str(key),))
        elif index == "local":
            self._mark("local_ip", (str(key),))

    def _first_or_last(self, index: str, key: object) -> None:
        """The key got its first value or lost its last: whatever stands for the key changes."""
        name = str(key)
        if index == "router@network":
            self._mark("port", self.found("port@network", key))
            self._mark("leg", self.found("leg@network", key))
        elif index == "vtep":
            self._mark("vtep", (name,))
        elif index == "port@parent":
            self._mark("port", (name,))
        elif index in ("route", "migrating", "claimed", "flood"):
            if not self.has(index, key):
                self.numbers.free("group", name)
        elif index == "port@set":
            self._mark("group_set", (name,))
            if not self.has(index, key):
                self.numbers.free("set", name)
        elif index == "local":
            if not self.has(index, key):
                self.numbers.free("meter", f"quoted/local_ip/{name}")
        elif index == "limited":
            if not self.has(index, key):
                self._free_meters(name)
        elif index == "stateless":
            for name in self.found("set@group", key):
                self._mark("port", self.found("port@set", name))
        elif index == "reference":
            group_id = name.partition("/")[0]
            self._mark("group", (group_id,))
            self._mark("address", self.found("address@group", group_id))
            if not self.has(index, key):
                self.numbers.free("conj", name)

    def _free_meters(self, holder: str) -> None:
        """Those of its limits. Whoever still needs some is marked, and gets others."""
        for direction in view.DIRECTIONS:
            self.numbers.free("meter", f"{holder}/{direction}")
            self.numbers.free("meter", f"{holder}/{direction}/kbps")

    def _neighbours_on(self, network_id: str) -> list[str]:
        return [f"{network}/{ip}" for network, ip in self.neighbours if network == network_id]

    def _mark_dependants(self, thing: view.Object) -> None:
        """Who must be compiled again because `thing` is, or was, so."""
        kind, name = view.key(thing)
        if kind not in ("gateways", "subnet", "member", "qos", "group"):
            self._mark(kind, (name,))
        match thing:
            case view.Network():
                for owner in ("port", "peer", "leg", "floating_ip", "router"):
                    self._mark(owner, self.found(f"{owner}@network", name))
                for port_id in self.found("port@network", name):
                    self._mark("floating_ip", self.found("floating_ip@port", port_id))
                self._mark("mac", self.found("claim@network", name))
                self._mark("local_ip", self.found("local@network", name))
                self._mark("neighbour", self._neighbours_on(name))
            case view.Subnet(network_id=network_id):
                self._mark("port", self.found("port@network", network_id))
                self._mark("router", self.found("router@network", network_id))
                self._mark("network", (network_id,))
            case view.Port(network_id=network_id):
                if name in self.ofports:
                    self.links.add(Owner("network", network_id))
                if self.has("restriction@port", name):
                    self._mark("port", self.found("port@parent", name))
                self._mark("floating_ip", self.found("floating_ip@port", name))
                self._mark("mac", self.found("claim@port", name))
                self._mark("local_ip", self.found("local@port", name))
            case view.Peer():
                self._mark("mac", self.found("claim@port", name))
            case view.Member(ips=ips):
                self._mark("address", ips)
            case view.SecurityGroup():
                self._mark("group_set", self.found("set@group", name))
            case view.Router():
                self._mark("leg", self.found("leg@router", name))
                self._mark("floating_ip", self.found("floating_ip@router", name))
                self._mark("network", (leg.network_id for leg in thing.interfaces))
            case view.Gateways():
                self._mark("router", self._ids("router"))
            case view.FloatingIp(address=address, port_id=port_id):
                port = self.port(port_id)
                if port and self.has("restriction@address", f"{port.project_id}/{address}"):
                    self._mark("port", (port_id,))
            case view.Restriction():
                self._mark("port", self._bound_by(thing))
                self._mark("restriction", self.found("restriction@outside_address", thing.target))
            case view.QosPolicy():
                for owner in ("port", "floating_ip", "router"):
                    self._mark(owner, self.found(f"{owner}@qos", name))
            case _:
                pass

    def _bound_by(self, restriction: view.Restriction) -> list[str]:
        """The ports that it may be about."""
        match restriction.target_kind:
            case "port":
                return [restriction.target, *self.found("port@parent", restriction.target)]
            case "network":
                return self.found("port@network", restriction.target)
            case "project" | "address":
                return self.found("port@project", restriction.project_id)
        return []
