"""Trunks: one port that carries other ports' networks, each under a VLAN id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Text, cast, func, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.query import Query
from suimon.model.specs.trunks import INHERIT, TRUNK, WantedSubport, sub_ports
from suimon.model.things import Network, Port, Subport, Trunk
from suimon.model.touches import UNPLUGGED
from suimon.resources import trunk_bindings
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.resources.ports import PORTS
from suimon.resources.resource import Asked
from suimon.store.errors import Stale, Taken
from suimon.store.tables import SUBPORTS
from suimon.store.tables import TRUNKS as TABLE
from suimon.store.tx import Tx

SPEC: Final = TRUNK.governed_by(RULES)
_MOST_VLAN: Final = 4094
_LISTED: Final = (
    select(
        func.aggregate_strings(
            SUBPORTS.c.port_id.concat(" ")
            .concat(SUBPORTS.c.segmentation_type.concat(" "))
            .concat(cast(SUBPORTS.c.segmentation_id, Text)),
            ";",
        )
    )
    .where(SUBPORTS.c.trunk_id == TABLE.c.id)
    .scalar_subquery()
)


def _subports(_trunk: Trunk, text: str | None) -> dict[str, object]:
    found = [subport.split(" ") for subport in sorted((text or "").split(";")) if subport]
    return {
        "sub_ports": [
            {"port_id": port_id, "segmentation_type": kind, "segmentation_id": int(number)}
            for port_id, kind, number in found
        ]
    }


TRUNKS: Final = Collection(
    spec=SPEC,
    type=Trunk,
    not_found=("TrunkNotFound", "Trunk {} could not be found."),
    visible=TABLE.c.project_id == VIEWER,
    extras=(Extra(_LISTED, _subports),),
)


def create_trunks(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Trunk]:
    """All or none. Raises NotFound, Forbidden, BadRequest, Conflict."""
    return [_create(tx, actor, one) for one in wanted]


def update_trunk(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Trunk:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    trunk = TRUNKS.find(tx, actor, id_)
    require_act(actor, "update_trunk", SPEC, wanted, Target(trunk.project_id))
    require_revision(trunk, expected_revision)
    return tx.change(trunk, **wanted) if wanted else trunk


def delete_trunk(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Its subports are free again. Raises NotFound, Forbidden, PreconditionFailed, Conflict."""
    trunk = TRUNKS.find(tx, actor, id_)
    require_act(actor, "delete_trunk", SPEC, {}, Target(trunk.project_id))
    require_revision(trunk, expected_revision)
    _require_enabled(trunk)
    parent = tx.get(Port, trunk.port_id)
    if parent and parent.binding_host:
        raise Conflict(f"Trunk {id_} is currently in use.", "TrunkInUse")
    subports = tx.select(Subport, {"trunk_id": id_})
    trunk_bindings.free(tx, [subport.port_id for subport in subports])
    tx.delete_many(subports)  # A cascade would say nothing.
    tx.delete(trunk)


@checks.takes(checks.having({"sub_ports": checks.schema_of(sub_ports)}, "sub_ports"))
def add_subports(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """The trunk with more subports, bare as Neutron has it. Raises NotFound, Forbidden, BadRequest, Conflict."""
    trunk, wanted = _asked(tx, actor, "add_subports", id_, body)
    parent = PORTS.find(tx, actor, trunk.port_id)
    subports = _accepted(tx, actor, parent, id_, wanted)
    _require_enabled(trunk)
    there = {(subport.segmentation_type, subport.segmentation_id) for subport in tx.select(Subport, {"trunk_id": id_})}
    _require_apart(subports, there)
    _insert(tx, subports)
    trunk_bindings.seat(tx, parent, [subport.port_id for subport in subports])
    return _changed(tx, actor, trunk)


@checks.takes(checks.having({"sub_ports": checks.schema_of(sub_ports)}, "sub_ports"))
def remove_subports(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """The trunk with fewer subports, bare as Neutron has it. Raises NotFound, Forbidden, BadRequest, Conflict."""
    trunk, wanted = _asked(tx, actor, "remove_subports", id_, body)
    _require_enabled(trunk)
    there = {subport.port_id: subport for subport in tx.select(Subport, {"trunk_id": id_})}
    for wish in wanted:
        if wish.port_id not in there:
            raise NotFound(f"SubPort {wish.port_id} on trunk {id_} could not be found.", "SubPortNotFound")
        tx.delete(there[wish.port_id])
    trunk_bindings.free(tx, [wish.port_id for wish in wanted])
    return _changed(tx, actor, trunk)


def get_subports(tx: Tx, actor: Actor, asked: Asked) -> object:
    """The trunk's subports alone. Raises NotFound."""
    return {"sub_ports": TRUNKS.get(tx, actor, asked.ids[0]).extras["sub_ports"]}


def _create(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Trunk:
    require_act(actor, "create_trunk", SPEC, wanted, Target(wanted["project_id"]))
    parent = PORTS.find(tx, actor, wanted["port_id"])
    id_ = new_id()
    _require_in_no_trunk(tx, [parent.id])
    if parent.binding_host or parent.device_owner in UNPLUGGED:
        raise _no_parent(parent.id)
    subports = _accepted(tx, actor, parent, id_, wanted["sub_ports"])
    values = {name: value for name, value in wanted.items() if name != "sub_ports"}
    trunk = Trunk(id=id_, created_at=tx.now, updated_at=tx.now, **values)
    tx.insert(trunk)
    _insert(tx, subports)
    trunk_bindings.seat(tx, parent, [subport.port_id for subport in subports])
    return trunk


def _asked(tx: Tx, actor: Actor, act: str, id_: str, body: object) -> tuple[Trunk, Sequence[WantedSubport]]:
    trunk = TRUNKS.find(tx, actor, id_)
    require_act(actor, act, SPEC, {}, Target(trunk.project_id))
    if not isinstance(body, dict) or "sub_ports" not in body:
        raise BadRequest("Unable to find 'sub_ports' in request body")
    try:
        wanted: Any = sub_ports(body["sub_ports"])
    except checks.Unfit as unfit:
        raise checks.invalid(str(unfit)) from None
    return trunk, wanted


def _changed(tx: Tx, actor: Actor, trunk: Trunk) -> dict[str, object]:
    """As in Neutron it is DOWN in the answer, until its host says more."""
    down = tx.change(trunk, status="DOWN")
    (shown,) = TRUNKS.shown(tx, [down])
    trunk_bindings.note(tx, [down])
    return SPEC.render(shown, actor)


def _insert(tx: Tx, subports: Sequence[Subport]) -> None:
    try:
        tx.insert_many(subports)
    except Taken as taken:
        raise Stale from taken  # They were seen to be free: another writer was faster.


def _accepted(tx: Tx, actor: Actor, parent: Port, trunk_id: str, wanted: Sequence[WantedSubport]) -> list[Subport]:
    """The subports to be, if their ports can be. Raises NotFound, BadRequest, Conflict."""
    if not wanted:
        return []
    ids = [wish.port_id for wish in wanted]
    ports = {shown.id: shown.thing for shown in PORTS.page(tx, actor, Query(filters={"id": ids}))}
    network_ids = {parent.network_id, *(port.network_id for port in ports.values() if isinstance(port, Port))}
    networks = {network.id: network for network in tx.select(Network, {"id": network_ids})}
    accepted = []
    for wish in wanted:
        if wish.port_id == parent.id:
            raise _no_parent(parent.id)
        port = ports.get(wish.port_id)
        network = networks[port.network_id] if isinstance(port, Port) else None
        _require_fits(wish, network, networks[parent.network_id], parent)
        kind, number = _segment(wish, network)
        accepted.append(
            Subport(port_id=wish.port_id, trunk_id=trunk_id, segmentation_type=kind, segmentation_id=number)
        )
    _require_apart(accepted, set())
    _require_in_no_trunk(tx, ids)
    for id_ in ids:
        port = ports.get(id_)
        if not isinstance(port, Port):
            raise PORTS.missing(id_)
        _require_idle(port)
    return accepted


def _segment(wish: WantedSubport, network: Network | None) -> tuple[str, int]:
    """The type and the id under which a port is reached. Raises NotFound, BadRequest."""
    kind, id_ = wish.segmentation_type, wish.segmentation_id
    if kind == INHERIT:
        if network is None:
            raise PORTS.missing(wish.port_id)
        kind, id_ = network.network_type, network.segment
    elif kind is None or id_ is None:
        raise checks.invalid(
            f"Invalid subport details '{wish.given}': missing segmentation information. Must specify both "
            "segmentation_id and segmentation_type"
        )
    if kind != "vlan":
        raise checks.invalid(f"Unknown segmentation_type '{kind}'")
    try:
        number = checks.integer(id_)
    except BadRequest:
        raise checks.invalid(f"Invalid subport details: segmentation_id '{id_}' is not an integer") from None
    assert isinstance(number, int)
    if not 1 <= number <= _MOST_VLAN:
        raise checks.invalid(f"Segmentation ID '{number}' is not in range")
    return "vlan", number


def _require_fits(wish: WantedSubport, network: Network | None, outer: Network, parent: Port) -> None:
    if network and network.mtu > outer.mtu:
        raise Conflict(
            f"MTU {network.mtu} of subport {wish.port_id} cannot be greater than MTU {outer.mtu} of trunk {parent.id}.",
            "SubPortMtuGreaterThanTrunkPortMtu",
        )


def _require_apart(subports: Sequence[Subport], there: set[tuple[str, int]]) -> None:
    taken = set(there)
    for one in subports:
        segment = (one.segmentation_type, one.segmentation_id)
        if segment in taken:
            raise Conflict(
                f"segmentation_type {segment[0]} and segmentation_id {segment[1]} already in use on trunk "
                f"{one.trunk_id}.",
                "DuplicateSubPort",
            )
        taken.add(segment)


def _require_in_no_trunk(tx: Tx, ids: Sequence[str]) -> None:
    """A port is in one trunk at most, as its parent or as a subport. Raises Conflict."""
    subports = tx.select(Subport, {"port_id": ids}, limit=1)
    if subports:
        raise Conflict(f"Port {subports[0].port_id} is in use by another trunk.", "TrunkPortInUse")
    trunks = tx.select(Trunk, {"port_id": ids}, limit=1)
    if trunks:
        raise _no_parent(trunks[0].port_id)


def _require_idle(port: Port) -> None:
    """What somebody uses for itself is not to be put into a trunk. Raises Conflict."""
    if port.device_id:
        raise Conflict(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
            "PortInUse",
        )


def _require_enabled(trunk: Trunk) -> None:
    if not trunk.admin_state_up:
        raise Conflict(f"Trunk {trunk.id} is currently disabled.", "TrunkDisabled")


def _no_parent(port_id: str) -> Conflict:
    return Conflict(
        f"Port {port_id} is currently in use and is not eligible for use as a parent port.", "ParentPortInUse"
    )
