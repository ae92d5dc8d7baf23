"""`policy.yaml`: an operator's rules instead of ours, under Neutron's names and in oslo.policy's language.

    "create_network:shared": "rule:admin_only or role:network_admin"
    "get_network:provider:segmentation_id": "role:reader"
    "trusted": "role:manager and project_id:%(project_id)s"     # a building block of one's own
    "delete_port": "rule:trusted or rule:network_owner"

Names that may be replaced: those of `persona.RULES`, `create_x:attribute`, `update_x:attribute` and `get_x:attribute`
of every kind of resource, and `get_x`, which says which of the things that one would see one is shown. What a rule says
is read once, at the start, into the functions that are asked; nothing here takes part in a request.

A rule is `and`, `or`, `not`, parentheses, `@` (or nothing: everybody), `!` (nobody), and checks:

    role:manager                  service_roles:service        rule:NAME       is_admin:True
    project_id:%(project_id)s     tenant_id:…, user_id:TEXT    %(network:project_id)s, %(ext_parent:project_id)s, …
    field:networks:shared=True    field:port:device_owner=~^network:
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from suimon.model.actor import Actor
from suimon.model.attributes import Rule, Spec, Target
from suimon.resources.persona import RULES

_OWNER: Final = "project_id:%(project_id)s"
_OF_NETWORK: Final = "project_id:%(network:project_id)s"
BLOCKS: Final = {
    "context_is_admin": "role:admin",
    "admin_only": "role:admin",
    "context_is_advsvc": "role:advsvc",
    "context_with_global_access": "!",
    "service_api": "role:service",
    "regular_user": "@",
    "owner": _OWNER,
    "admin_or_owner": f"role:admin or {_OWNER}",
    "default": f"role:admin or {_OWNER}",
    "network_owner": _OF_NETWORK,
    "admin_or_network_owner": f"role:admin or {_OF_NETWORK}",
    "admin_owner_or_network_owner": f"role:admin or {_OWNER} or {_OF_NETWORK}",
    "ext_parent_owner": "project_id:%(ext_parent:project_id)s",
    "admin_or_ext_parent_owner": "role:admin or project_id:%(ext_parent:project_id)s",
    "sg_owner": "project_id:%(security_group:project_id)s",
    "admin_or_sg_owner": "role:admin or project_id:%(security_group:project_id)s",
    "admin_owner_or_sg_owner": f"role:admin or {_OWNER} or project_id:%(security_group:project_id)s",
    "admin_or_data_plane_int": "role:admin or role:data_plane_integrator",
    "shared": "field:networks:shared=True",
    "external": "field:networks:router:external=True",
    "network_device": "field:port:device_owner=~^network:",
    "compute_device": "field:port:device_owner=~^compute:",
    "baremetal_device": "field:port:device_owner=~^baremetal:",
    "manila_device": "field:port:device_owner=~^manila:",
    "shared_address_groups": "field:address_groups:shared=True",
    "shared_address_scopes": "field:address_scopes:shared=True",
    "shared_qos_policy": "field:policies:shared=True",
    "shared_security_group": "field:security_groups:shared=True",
    "shared_subnetpools": "field:subnetpools:shared=True",
}
"""What Neutron's own rules are built from, for rules that refer to it. It can't be replaced: our defaults are not made
of it, so that replacing it would do nothing.
"""

_TOKEN: Final = re.compile(r"\(|\)|(?:%\([^)]*\)s|[^\s()])+")
_OWNERS: Final[Mapping[str, Callable[[Target], str]]] = {
    "project_id": lambda target: target.project_id,
    "ext_parent:project_id": lambda target: target.project_id,
    "security_group:project_id": lambda target: target.project_id,
    "network:project_id": lambda target: target.network_project_id,
}
_LINES_SHOWN: Final = 60


class PolicyError(Exception):
    """The file can't be used. The message is one sentence that names the line."""


def read_rules(path: Path, specs: Iterable[Spec]) -> dict[str, Rule]:
    """Name → rule, for `persona.replace_rules`. Raises PolicyError."""
    lines = _lines_of(path)
    known = _known_names(specs)
    reading = _Reading(path, lines)
    rules = {name: reading.rule(name) for name in lines}
    for name, (_, line) in lines.items():
        if name in BLOCKS:
            raise reading.error(line, f"{name!r} is built in and can't be replaced: replace the rules that use it")
        if name not in known and name not in reading.referred:
            raise reading.error(line, f"there is no rule {name!r}")
    replaced = {name: rule for name, rule in rules.items() if name in known}
    for name in [name for name in replaced if name.endswith("_port:device_owner")]:
        # Neutron asks one rule for every device owner; ours for network devices stands aside for an operator's.
        replaced[f"{name}:network"] = _everybody
    return replaced


def _lines_of(path: Path) -> dict[str, tuple[str, int]]:
    """Name → what its rule says and on which line."""
    import yaml  # type: ignore[import-untyped]  # Here, because most controllers have no such file.

    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise PolicyError(f"Can't read the policy file {path} ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} of {path}" if mark else str(path)
        raise PolicyError(f"The policy file isn't YAML at {where}.") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise PolicyError(f"The policy file {path} has no form of `name: rule`.")
    found: dict[str, tuple[str, int]] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise PolicyError(f'Line {line} of {path}: a rule is one text, as in "rule:admin_only or role:x".')
        if key.value in found:
            raise PolicyError(f"Line {line} of {path}: {key.value!r} is there twice.")
        found[key.value] = value.value, line
    return found


def _known_names(specs: Iterable[Spec]) -> set[str]:
    known = set(RULES)
    for spec in specs:
        known.add(f"get_{spec.singular}")
        for attribute in spec.attributes:
            known |= {f"get_{spec.singular}:{attribute.name}"} if attribute.shown else set()
            known |= {f"create_{spec.singular}:{attribute.name}"} if attribute.post else set()
            known |= {f"update_{spec.singular}:{attribute.name}"} if attribute.put else set()
    return known


class _Reading:
    """One file being read: rules refer to one another."""

    def __init__(self, path: Path, lines: Mapping[str, tuple[str, int]]) -> None:
        self._path = path
        self._lines = lines
        self._read: dict[str, Rule] = {}
        self._under_way: list[str] = []
        self.referred: set[str] = set()

    def rule(self, name: str) -> Rule:
        """The rule of a name in the file. Raises PolicyError."""
        if name not in self._read:
            text, line = self._lines[name]
            if name in self._under_way:
                raise self.error(line, f"{name!r} refers to itself")
            self._under_way.append(name)
            self._read[name] = self._parsed(text, line)
            self._under_way.pop()
        return self._read[name]

    def error(self, line: int, reason: str) -> PolicyError:
        return PolicyError(f"Line {line} of {self._path}: {reason}.")

    def _parsed(self, text: str, line: int) -> Rule:
        tokens = _TOKEN.findall(text)
        rule = self._any_of(tokens, line) if tokens else _everybody
        if tokens:
            raise self.error(line, f"{tokens[0]!r} is out of place")
        return rule

    def _any_of(self, tokens: list[str], line: int) -> Rule:
        parts = [self._all_of(tokens, line)]
        while tokens and tokens[0].lower() == "or":
            tokens.pop(0)
            parts.append(self._all_of(tokens, line))
        return parts[0] if len(parts) == 1 else lambda actor, target: any(part(actor, target) for part in parts)

    def _all_of(self, tokens: list[str], line: int) -> Rule:
        parts = [self._one(tokens, line)]
        while tokens and tokens[0].lower() == "and":
            tokens.pop(0)
            parts.append(self._one(tokens, line))
        return parts[0] if len(parts) == 1 else lambda actor, target: all(part(actor, target) for part in parts)

    def _one(self, tokens: list[str], line: int) -> Rule:
        token = tokens.pop(0) if tokens else ""
        if token.lower() == "not":
            inverted = self._one(tokens, line)
            return lambda actor, target: not inverted(actor, target)
        if token == "(":  # noqa: S105 (a parenthesis)
            inner = self._any_of(tokens, line)
            if not tokens or tokens.pop(0) != ")":
                raise self.error(line, "a parenthesis isn't closed")
            return inner
        if token in ("@", "!"):
            return _everybody if token == "@" else _nobody  # noqa: S105
        kind, colon, match = token.partition(":")
        if not colon:
            raise self.error(line, f"a check is missing before {token!r}" if token else "a check is missing at the end")
        if kind == "rule":
            return self._referred(match, line)
        check = _check(kind, match)
        if check is None:
            raise self.error(line, f"{token[:_LINES_SHOWN]!r} is no check that is known here")
        return check

    def _referred(self, name: str, line: int) -> Rule:
        self.referred.add(name)
        if name in self._lines:
            return self.rule(name)
        if name in BLOCKS:
            return self._parsed(BLOCKS[name], line)
        if name in RULES:
            return RULES[name]
        raise self.error(line, f"it refers to {name!r}, and there is no such rule")


def _check(kind: str, match: str) -> Rule | None:
    """One check; None when it isn't known."""
    match kind:
        case "role":
            return lambda actor, _: _has(actor.roles, match)
        case "service_roles":
            return lambda actor, _: _has(actor.service_roles, match)
        case "is_admin":
            wanted = match.lower() in ("true", "1")
            return lambda actor, _: actor.admin == wanted
        case "is_admin_project":
            return _everybody if match.lower() == "true" else _nobody  # Every project is one, as in oslo.context.
        case "project_id" | "tenant_id":
            return _project(match)
        case "user_id" if "%" not in match:
            return lambda actor, _: actor.user_id == match
        case "field":
            return _field(match)
    return None


def _project(match: str) -> Rule | None:
    if not match.startswith("%("):
        return lambda actor, _: actor.project_id == match
    whose = _OWNERS.get(match.removeprefix("%(").removesuffix(")s").replace("tenant_id", "project_id"))
    if whose is None:
        return None
    return lambda actor, target: bool(actor.project_id) and actor.project_id == whose(target)


def _field(match: str) -> Rule | None:
    """`collection:attribute=value`, or `=~^start`: other patterns are not for a request to be matched with."""
    name, equals, wanted = match.partition(":")[2].partition("=")
    if not (name and equals):
        return None
    if wanted.startswith("~"):
        start = wanted.removeprefix("~^")
        if not wanted.startswith("~^") or re.escape(start) != start.replace("-", r"\-"):
            return None
        return lambda _, target: str(target.values.get(name) or "").startswith(start)
    return lambda _, target: str(target.values.get(name)) == wanted


def _has(roles: frozenset[str], wanted: str) -> bool:
    return any(role.lower() == wanted.lower() for role in roles)


def _everybody(_actor: Actor, _target: Target) -> bool:
    return True


def _nobody(_actor: Actor, _target: Target) -> bool:
    return False
