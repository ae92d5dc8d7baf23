"""Acts on hosts: joining with a one-time token, being removed, being accepted, and what they report of their ports."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from ipaddress import AddressValueError, IPv4Address
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, func, or_, select, update

from suimon.model import view
from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from suimon.model.things import FloatingIp, Host, JoinToken, Port, PortBinding
from suimon.model.touches import UNPLUGGED
from suimon.resources import host_events, trunk_bindings, virtual_addresses
from suimon.store.columns import time_text
from suimon.store.tables import HOST_STATES, HOSTS, JOIN_TOKENS, PLUGS
from suimon.store.tx import Tx

_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_PHYSNET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_PHYSNETS: Final = 64
_SEEN: Final = (
    update(HOSTS)
    .where(or_(HOSTS.c.name.in_(bindparam("names", expanding=True)), HOSTS.c.seen_at > bindparam("now")))
    .values(seen_at=bindparam("now"))
)
_QUIET: Final = (
    select(HOSTS.c.name)
    .where(
        HOSTS.c.physnets != "[]",
        or_(HOSTS.c.silent, func.coalesce(HOSTS.c.seen_at, HOSTS.c.joined_at) < bindparam("since")),
    )
    .order_by(HOSTS.c.name)
)
_STATES: Final = select(HOST_STATES.c.host, HOST_STATES.c.state)
_FORGET_STATES: Final = delete(HOST_STATES).where(HOST_STATES.c.host.in_(bindparam("names", expanding=True)))
_FORGET_PLUGS: Final = delete(PLUGS).where(PLUGS.c.port_id.in_(bindparam("ids", expanding=True)))
_EXPIRED: Final = delete(JOIN_TOKENS).where(JOIN_TOKENS.c.expires_at < bindparam("now"))


def secret_hash(secret: str) -> str:
    """What is kept of a token or credential. They are 256 random bits, so that no salt and no slow hash is needed."""
    return sha256(secret.encode()).hexdigest()


def create_join_token(tx: Tx, actor: Actor, secret: str, lifetime: timedelta, host: str = "") -> JoinToken:
    """Let whoever knows `secret` join once, as `host` if one is named. Raises Forbidden, BadRequest."""
    _require_admin(actor, "make join tokens")
    if host:
        _check_name(host)
    tx.run(_EXPIRED, {"now": time_text(tx.now)})
    token = JoinToken(id=secret_hash(secret), host=host, expires_at=tx.now + lifetime)
    tx.insert(token)
    return token


def require_join_token(tx: Tx, wanted: view.Join) -> JoinToken:
    """Raises Unauthorized for a token that isn't good (any more), or not for this host."""
    token = tx.get(JoinToken, secret_hash(wanted.token))
    if token is None or token.expires_at <= tx.now:
        raise Unauthorized("The join token is unknown, used already or expired: ask the operator for a new one.")
    if token.host not in ("", wanted.host):
        raise Unauthorized("The join token is for another host than this one.")
    return token


def join_host(tx: Tx, wanted: view.Join, credential_hash: str) -> Host:
    """Trade the token for a credential; a host that joins again replaces what was known of it.

    Raises Unauthorized for a token that isn't good (any more), BadRequest for a name or address that can't be, Conflict
    for those that another host has. Unless it succeeds, the token stays good.
    """
    token = require_join_token(tx, wanted)
    _check_name(wanted.host)
    before = tx.get(Host, wanted.host)
    if before is None:
        _require_unlike(tx, wanted.host)
    elif not token.host:
        raise Conflict(f"Host {wanted.host} has joined already: to join again it needs a token made for that name.")
    tx.delete(token)
    host = Host(
        name=wanted.host,
        tunnel_ip=_tunnel_ip(tx, wanted),
        physnets=_physnets(wanted),
        credential_hash=credential_hash,
        schema=wanted.schema,
        joined_at=tx.now,
        drained=before is not None and before.drained,
    )
    if before is None:
        tx.insert(host)
    else:
        tx.update(before, host)
    if host.tunnel_ip != (before.tunnel_ip if before else None):
        _touch_peers(tx, host.name)
    return host


def find_host(tx: Tx, credential: str) -> Host | None:
    """The host whose credential this is."""
    hashed = secret_hash(credential)
    found = tx.select(Host, {"credential_hash": hashed})
    return found[0] if found and compare_digest(found[0].credential_hash, hashed) else None


def list_hosts(tx: Tx, actor: Actor) -> list[Host]:
    """All hosts by name. Raises Forbidden."""
    _require_admin(actor, "see hosts")
    return tx.select(Host, order=("name",))


def accept_host(tx: Tx, actor: Actor, name: str) -> Host:
    """Let the host apply the snapshot that it holds back because of how much it deletes. Raises Forbidden, NotFound.

    The host gets the snapshot of now once more, marked as accepted.
    """
    host = _get(tx, actor, name, "accept")
    after = msgspec.structs.replace(host, accepted_epoch=tx.position()[1])
    tx.update(host, after)
    tx.touch("accept", name, f"host:{name}")
    return after


def drain_host(tx: Tx, actor: Actor, name: str, *, drained: bool) -> Host:
    """Take the host out of service, or back into it: gateways go elsewhere, and no port may be made to migrate there.

    Ports that Nova starts there get their network all the same: where guests run is Nova's to say. Raises Forbidden,
    NotFound.
    """
    host = _get(tx, actor, name, "drain")
    after = msgspec.structs.replace(host, drained=drained)
    tx.update(host, after)
    return after


def ports_on(tx: Tx, name: str) -> list[Port]:
    """What is plugged into the host, or is to be: guests, which are Nova's to move."""
    return [
        port for port in tx.select(Port, {"binding_host": name}, order=("id",)) if port.device_owner not in UNPLUGGED
    ]


def end_acceptance(tx: Tx, name: str) -> None:
    """The host has applied what was accepted: a later snapshot is guarded as ever."""
    host = tx.get(Host, name)
    if host is not None:
        tx.update(host, msgspec.structs.replace(host, accepted_epoch=0))


def note_schema(tx: Tx, name: str, schema: int) -> Host:
    """The host's agent is another version now, and speaks this schema of the view. Raises NotFound."""
    host = _get(tx, SYSTEM, name, "upgrade")
    after = msgspec.structs.replace(host, schema=schema)
    tx.update(host, after)
    return after


def note_seen(tx: Tx, names: Collection[str]) -> None:
    """These were heard of just now. Nobody who follows the log is told: agents' heartbeats change nothing.

    What is said to have been later than now was before the clock was set back: that ages from now on, too.
    """
    if names:
        tx.run(_SEEN, {"names": list(names), "now": time_text(tx.now)})


def note_silent(tx: Tx, silent_after: timedelta, leading: Collection[str]) -> None:
    """Who was not heard of for so long is silent, until it says that it would lead routers out again (`leading`): that
    it is heard of is not enough for who stands by for it to go. Who leads routers out with it is told.
    """
    for (name,) in tx.rows(_QUIET, {"since": time_text(tx.now - silent_after)}):
        host = tx.get(Host, name)
        if host is not None and host.silent == (name in leading):
            tx.update(host, msgspec.structs.replace(host, silent=not host.silent))


def note_states(tx: Tx, states: Mapping[str, str]) -> None:
    """How hosts are, as texts that only those who write them read. One that is no host (any more) has none."""
    known = [host.name for host in tx.select(Host, {"name": set(states)})]
    tx.run(_FORGET_STATES, {"names": known})
    tx.insert_rows(HOST_STATES, [{"host": name, "state": states[name]} for name in known])


def noted_states(tx: Tx) -> dict[str, str]:
    """By host, what was noted last."""
    return {row[0]: row[1] for row in tx.rows(_STATES, {})}


def delete_host(tx: Tx, actor: Actor, name: str) -> None:
    """Forget the host and its credential. Raises Forbidden, NotFound, and Conflict while ports are bound to it."""
    host = _get(tx, actor, name, "remove")
    bound = tx.select(Port, {"binding_host": name}, limit=1)
    if bound:
        raise Conflict(f"Host {name} has ports bound to it, {bound[0].id} for one: move or delete them first.")
    tx.delete(host)


claims_to_note = virtual_addresses.claims_to_note
note_claims = virtual_addresses.note_claims
note_events = host_events.note_events


def note_plugs(tx: Tx, host: str, plugs: Mapping[str, view.Exported]) -> None:
    """How the host says that its flow records name ports of its own."""
    tx.run(_FORGET_PLUGS, {"ids": sorted(plugs)})
    there = {port.id for port in tx.select(Port, {"id": plugs.keys(), "binding_host": host})}
    rows = [
        {"port_id": each, "host": host, "ifindex": plugs[each].ifindex, "exporter": plugs[each].exporter}
        for each in sorted(there)
        if plugs[each].ifindex
    ]
    tx.insert_rows(PLUGS, rows)
    for port_id in plugs:
        tx.touch("plug", port_id, "")


def set_port_status(tx: Tx, host: str, reports: Iterable[view.PortReport]) -> list[Port]:
    """Write what the host says of its ports, and return those that changed; a port's floating IPs have its status.

    A port that isn't the host's (any more) is passed over.
    """
    said = {report.port_id: report for report in reports}
    changed = []
    for port in tx.select(Port, {"id": said.keys(), "binding_host": host}):
        report = said[port.id]
        if (port.status, port.status_reason) != (report.status, report.reason):
            changed.append(tx.change(port, status=report.status, status_reason=report.reason))
    status = {port.id: port.status for port in changed}
    for behind in ("port_id", "holder_id") if status else ():
        for floating_ip in tx.select(FloatingIp, {behind: status.keys()}):
            now = status[floating_ip.holder_id or floating_ip.port_id or ""]
            if floating_ip.status != now:
                tx.change(floating_ip, status=now)
    trunk_bindings.note_ports(tx, changed)
    return changed


def _get(tx: Tx, actor: Actor, name: str, act: str) -> Host:
    _require_admin(actor, f"{act} hosts")
    host = tx.get(Host, name)
    if host is None:
        raise NotFound(f"Host {name} could not be found.", "HostNotFound")
    return host


def _require_admin(actor: Actor, act: str) -> None:
    if not actor.admin:
        raise Forbidden(f"Only operators may {act}.")


def _check_name(name: str) -> None:
    if len(name) > 253 or not _HOST_NAME.fullmatch(name):
        raise BadRequest(f"{name[:80]!r} is not a host name (RFC 1123: letters, digits and hyphens between dots).")


def _require_unlike(tx: Tx, name: str) -> None:
    """Names that differ in case only are one name to DNS, and to whoever binds ports. Raises Conflict."""
    alike = [host.name for host in tx.select(Host) if host.name.lower() == name.lower()]
    if alike:
        raise Conflict(f"Host {name} can't be told from {alike[0]}, which has joined already.")


def _tunnel_ip(tx: Tx, wanted: view.Join) -> str | None:
    if wanted.tunnel_ip is None:
        return None
    try:
        ip = IPv4Address(wanted.tunnel_ip)
    except AddressValueError:
        raise BadRequest(f"The tunnel address {wanted.tunnel_ip[:80]!r} is not an IPv4 address.") from None
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback or ip.is_reserved:
        raise BadRequest(f"The tunnel address {ip} is not one that other hosts could send to.")
    others = [host.name for host in tx.select(Host, {"tunnel_ip": str(ip)}) if host.name != wanted.host]
    if others:
        raise Conflict(f"The tunnel address {ip} is that of host {others[0]}.")
    return str(ip)


def _physnets(wanted: view.Join) -> tuple[str, ...]:
    bad = [name for name in wanted.physnets if not _PHYSNET.fullmatch(name)]
    if bad or len(wanted.physnets) > _MOST_PHYSNETS:
        raise BadRequest(
            f"The names of physical networks are not valid ({bad[0][:80]!r})." if bad else "Too many physnets."
        )
    return tuple(sorted(set(wanted.physnets)))


def _touch_peers(tx: Tx, host: str) -> None:
    """Others send to its ports at another address from now on."""
    ports: Collection[Port] = tx.select(Port, {"binding_host": host})
    for port in ports:
        if port.device_owner not in UNPLUGGED:
            tx.touch("peer", port.id, f"peers:{port.network_id}")
    for waiting in tx.select(PortBinding):  # Few ports migrate at a time.
        migrating = tx.get(Port, waiting.port_id)
        if migrating is not None and host in (waiting.host, migrating.binding_host):
            tx.touch("port", migrating.id, f"host:{migrating.binding_host}")
