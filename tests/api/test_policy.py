"""An operator's policy.yaml over HTTP, and at the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from suimon.resources.registry import RESOURCES
from tests.api.cloud import Cloud
from tests.api.controller import Controller, free_port, started
from tests.api.matrix_table import TABLE
from tests.api.personas import Stage
from tests.resources.operator_rules import Put, operator_rules


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Put]:
    """Puts an operator's rules in place for one test."""
    with operator_rules(tmp_path) as made:
        yield made


def names(cloud: Cloud, path: str, token: str) -> list[str]:
    told = cloud.call("GET", f"/v2.0/{path}", token=token)
    assert told.status == 200
    return sorted(one["name"] for one in next(iter(told.json.values())))


def test_a_rule_narrows_what_is_shown(cloud: Cloud, put: Put) -> None:
    stage = Stage(cloud)
    secret, shared = stage.network(name="secret"), stage.network(name="open")
    share = {"object_type": "network", "object_id": shared, "action": "access_as_shared", "target_tenant": "*"}
    stage.made("rbac-policies", "rbac_policy", share, "a")
    stage.subnet(secret, name="inside")
    assert names(cloud, "networks", stage.tokens["m"]) == ["open", "secret"]
    put(
        "get_network: rule:admin_only or rule:shared or role:manager\n"
        "get_subnet: role:manager and project_id:%(network:project_id)s\n"
    )
    assert names(cloud, "networks", stage.tokens["m"]) == ["open"]
    assert names(cloud, "networks", stage.tokens["o"]) == ["open"]
    assert names(cloud, "networks", stage.tokens["M"]) == ["open", "secret"]
    assert names(cloud, "networks", stage.tokens["a"]) == ["open", "secret"]
    assert stage.do("m", "GET", f"networks/{secret}").error[0] == 404
    assert stage.do("M", "GET", f"networks/{secret}").status == 200
    assert names(cloud, "subnets", stage.tokens["M"]) == ["inside"]
    assert names(cloud, "subnets", stage.tokens["a"]) == []


def test_a_rule_never_shows_more_than_the_projects_own(cloud: Cloud, put: Put) -> None:
    stage = Stage(cloud)
    stage.network(name="secret")
    put("get_network: '@'\n")
    assert names(cloud, "networks", stage.tokens["o"]) == []


KINDS = [
    (path, line.create)
    for path, line in TABLE.items()
    if line.create and "{}" not in path and RESOURCES[path].spec.named("description")
]


@pytest.mark.parametrize("path, create", KINDS, ids=[path for path, _ in KINDS])
def test_any_attribute_can_get_a_rule(cloud: Cloud, put: Put, path: str, create: object) -> None:
    stage, spec = Stage(cloud), RESOURCES[path].spec
    line = TABLE[path]
    assert line.create and line.create.body
    ids = line.new(stage)
    acts = ("create", "update") if RESOURCES[path].update else ("create",)
    put("".join(f"{act}_{spec.singular}:description: '!'\n" for act in acts))
    body = line.create.body(stage, ids)
    assert isinstance(body, dict)
    body[spec.singular] |= {"description": "x"}
    told = stage.do("a", "POST", path, body)
    assert told.error == (
        403, "PolicyNotAuthorized", f"rule:create_{spec.singular}:description is disallowed by policy"
    )  # fmt: skip
    if RESOURCES[path].update:
        told = stage.do("a", "PUT", f"{path}/{ids[-1]}", {spec.singular: {"description": "x"}})
        assert told.error[2] == f"rule:update_{spec.singular}:description is disallowed by policy"


def test_the_controller_serves_by_the_file(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"get_network:provider:network_type": "role:reader"\n')
    with started(tmp_path / "state", "--policy", str(policy)) as controller:
        assert controller.stop() == 0


@pytest.mark.parametrize(
    "options, words",
    [
        (("--policy", "{}/policy.yaml"), "Line 2 of {}/policy.yaml: there is no rule 'create_netwrok'."),
        (("--policy", "{}/none.yaml"), "Can't read the policy file {}/none.yaml"),
        (("--identity-url", "http://127.0.0.1:1"), "--identity-url and --identity-config belong together"),
        (("--identity-config", "{}/policy.yaml"), "--identity-url and --identity-config belong together"),
        (("--identity-url", "keystone", "--identity-config", "{}/account.yaml"), "is no URL of http or https"),
        (("--identity-url", "http://k", "--identity-config", "{}/none.yaml"), "Can't read the identity file"),
        (("--identity-url", "http://k", "--identity-config", "{}/policy.yaml"), "can't be used"),
        (("--trusted-proxies", "localhost"), "--trusted-proxies 'localhost' is no list of addresses"),
    ],
)
def test_what_cant_be_meant_is_refused_at_the_start(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "policy.yaml").write_text("create_network: role:a\ncreate_netwrok: role:a\n")
    (tmp_path / "account.yaml").write_text("username: a\npassword: b\n")
    given = [option.replace("{}", str(tmp_path)) for option in options]
    controller = Controller(tmp_path / "state", free_port(), free_port(), *given)
    assert words.replace("{}", str(tmp_path)) in controller.refusal_of_options()
    assert not (tmp_path / "state").exists()
