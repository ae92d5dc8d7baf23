"""Roles: what they imply, the whole system, what can't be changed, and what there is none of."""

import pytest

from tests.api.cloud import Account, Cloud, login_body
from tests.api.test_identity import REFUSED, grant_path

SYSTEM = {"system": {"all": True}}


def role_ids(cloud: Cloud) -> dict[str, str]:
    return {
        role["name"]: role["id"]
        for role in cloud.call("GET", "/identity/v3/roles", token=cloud.admin.token).json["roles"]
    }


def scoped(cloud: Cloud, user: str, password: str, scope: object) -> tuple[str, list[str]]:
    told = cloud.call("POST", "/identity/v3/auth/tokens", login_body(user, password, scope))
    assert told.status == 201, told.body
    return told.headers["x-subject-token"], sorted(role["name"] for role in told.json["token"]["roles"])


@pytest.mark.parametrize(
    "role, has",
    [
        ("admin", ["admin", "manager", "member", "reader"]),
        ("manager", ["manager", "member", "reader"]),
        ("member", ["member", "reader"]),
        ("reader", ["reader"]),
        ("service", ["service"]),
    ],
)
def test_a_role_brings_what_it_implies(shared_cloud: Cloud, role: str, has: list[str]) -> None:
    shared_cloud.account(f"is-{role}", role)
    scope = {"project": {"name": f"is-{role}", "domain": {"name": "Default"}}}
    assert scoped(shared_cloud, f"is-{role}", f"is-{role}", scope)[1] == has


def test_what_implies_what_is_told(shared_cloud: Cloud) -> None:
    ids, token = role_ids(shared_cloud), shared_cloud.admin.token
    rules = shared_cloud.call("GET", "/identity/v3/role_inferences", token=token).json["role_inferences"]
    assert {rule["prior_role"]["name"]: [r["name"] for r in rule["implies"]] for rule in rules} == {
        "admin": ["manager"], "manager": ["member"], "member": ["reader"]
    }  # fmt: skip
    path = f"/identity/v3/roles/{ids['member']}/implies"
    (implied,) = shared_cloud.call("GET", path, token=token).json["role_inference"]["implies"]
    assert implied["id"] == ids["reader"]
    told = shared_cloud.call("GET", f"{path}/{ids['reader']}", token=token).json["role_inference"]
    assert (told["prior_role"]["name"], told["implies"]["name"]) == ("member", "reader")
    assert shared_cloud.call("HEAD", f"{path}/{ids['reader']}", token=token).status == 204
    assert shared_cloud.call("GET", f"{path}/{ids['admin']}", token=token).error[0] == 404
    assert shared_cloud.call("GET", "/identity/v3/roles/nosuch/implies", token=token).error[0] == 404


def test_effective_assignments_have_the_implied_ones(shared_cloud: Cloud) -> None:
    anna = shared_cloud.account("effective", "manager")
    ids = role_ids(shared_cloud)

    def listed(query: str) -> list[str]:
        path = f"/identity/v3/role_assignments?user.id={anna.user_id}&include_names=true{query}"
        found = shared_cloud.call("GET", path, token=shared_cloud.admin.token).json["role_assignments"]
        return sorted(one["role"]["name"] for one in found)

    assert listed("") == ["manager"]
    assert listed("&effective=True") == ["manager", "member", "reader"]
    assert listed(f"&effective=True&role.id={ids['reader']}") == ["reader"]
    assert listed("&effective=None") == ["manager"]
    for none in ("group.id=x", "scope.domain.id=default", "scope.OS-INHERIT:inherited_to=projects"):
        assert listed(f"&{none}") == []


def test_names_cost_a_statement_a_kind_however_many_there_are(cloud: Cloud) -> None:
    def statements() -> int:
        path = "/identity/v3/role_assignments?include_names=true"
        told, heard = cloud.counted(lambda: cloud.call("GET", path, token=cloud.admin.token))
        assert told.status == 200
        return len(heard)

    few = statements()
    for number in range(3):
        cloud.account(f"user{number}")
    assert statements() == few


@pytest.mark.parametrize("name", ["admin", "manager", "member", "reader", "service"])
def test_the_roles_that_rules_ask_for_stay(shared_cloud: Cloud, name: str) -> None:
    path = f"/identity/v3/roles/{role_ids(shared_cloud)[name]}"
    token = shared_cloud.admin.token
    assert shared_cloud.call("DELETE", path, token=token).error[:2] == (403, "Forbidden")
    assert shared_cloud.call("PATCH", path, {"role": {"name": "x"}}, token).error[:2] == (403, "Forbidden")
    assert shared_cloud.call("PATCH", path, {"role": {"description": "x"}}, token).status == 200


def system_path(cloud: Cloud, account: Account, role: str) -> str:
    return f"/identity/v3/system/users/{account.user_id}/roles/{role_ids(cloud)[role]}"


def test_the_whole_system_is_a_scope_of_its_own(cloud: Cloud) -> None:
    anna, admin = cloud.account("anna"), cloud.admin.token
    assert cloud.call("POST", "/identity/v3/auth/tokens", login_body("anna", "anna", SYSTEM)).error == REFUSED
    assert cloud.call("GET", "/identity/v3/auth/system", token=anna.token).json["system"] == []
    path = system_path(cloud, anna, "admin")
    assert cloud.call("PUT", path, token=anna.token).error[:2] == (403, "Forbidden")
    assert cloud.call("GET", path, token=admin).error[0] == 404
    assert cloud.call("PUT", path, token=admin).status == 204
    assert cloud.call("HEAD", path, token=admin).status == 204
    roles = cloud.call("GET", path.rsplit("/", 1)[0], token=admin).json["roles"]
    assert [role["name"] for role in roles] == ["admin"]
    anna = cloud.login("anna", "anna", "anna")
    assert cloud.call("GET", "/identity/v3/auth/system", token=anna.token).json["system"] == [{"all": True}]
    token, names = scoped(cloud, "anna", "anna", SYSTEM)
    assert names == ["admin", "manager", "member", "reader"]
    shown = cloud.call("GET", "/identity/v3/auth/tokens", token=token, headers={"x-subject-token": token}).json["token"]
    assert shown["system"] == {"all": True} and "project" not in shown and shown["catalog"]
    (told,) = cloud.call(
        "GET", f"/identity/v3/role_assignments?user.id={anna.user_id}&scope.system=all", token=admin
    ).json["role_assignments"]
    assert told["scope"] == {"system": {"all": True}}
    # It manages identity and hypervisors; the network API is for projects, as Neutron's is.
    assert cloud.call("GET", "/identity/v3/users", token=token).status == 200
    assert cloud.call("GET", "/operations/v1/hosts", token=token).status == 200
    assert cloud.call("GET", "/v2.0/networks", token=token).error[:2] == (403, "PolicyNotAuthorized")
    assert cloud.call("DELETE", path, token=admin).status == 204
    assert cloud.call("GET", "/identity/v3/users", token=token).error == REFUSED


def test_the_first_admin_is_one_of_the_system_too(cloud: Cloud) -> None:
    assert scoped(cloud, "admin", cloud.admin_password, SYSTEM)[1] == ["admin", "manager", "member", "reader"]


def test_the_system_is_no_project(shared_cloud: Cloud) -> None:
    token = shared_cloud.admin.token
    path = grant_path(shared_cloud, Account("", shared_cloud.admin.user_id, "system"), "member")
    for method in ("PUT", "GET", "DELETE"):
        assert shared_cloud.call(method, path, token=token).error[0] == 404
    assert shared_cloud.call("GET", "/identity/v3/projects/system", token=token).error[0] == 404


UNMADE = [
    ("POST", "groups"), ("PATCH", "groups/x"), ("DELETE", "groups/x"),
    ("POST", "domains"), ("PATCH", "domains/default"), ("DELETE", "domains/default"),
    ("POST", "services"), ("POST", "endpoints"), ("POST", "regions"), ("DELETE", "services/x"),
    ("PUT", "domains/default/users/x/roles/y"), ("PUT", "projects/p/groups/x/roles/y"), ("PUT", "roles/x/implies/y"),
]  # fmt: skip


@pytest.mark.parametrize("method, path", UNMADE)
def test_what_cant_be_made_here_is_said_so(shared_cloud: Cloud, method: str, path: str) -> None:
    if not hasattr(shared_cloud, "member"):
        shared_cloud.member = shared_cloud.account("one-member")  # type: ignore[attr-defined]
    told = shared_cloud.call(method, f"/identity/v3/{path}", {}, shared_cloud.admin.token)
    assert told.error[:2] == (501, "Not Implemented")
    told = shared_cloud.call(method, f"/identity/v3/{path}", {}, shared_cloud.member.token)  # type: ignore[attr-defined]
    assert told.error[:2] == (403, "Forbidden")


def test_there_are_no_groups(shared_cloud: Cloud) -> None:
    token = shared_cloud.admin.token
    assert shared_cloud.call("GET", "/identity/v3/groups", token=token).json["groups"] == []
    path = f"/identity/v3/users/{shared_cloud.admin.user_id}/groups"
    assert shared_cloud.call("GET", path, token=token).json["groups"] == []
    assert shared_cloud.call("GET", "/identity/v3/groups/x", token=token).error[0] == 404


def test_a_token_without_its_catalog(shared_cloud: Cloud) -> None:
    body = login_body("admin", shared_cloud.admin_password)
    told = shared_cloud.call("POST", "/identity/v3/auth/tokens?nocatalog", body).json["token"]
    assert "catalog" not in told and told["roles"]
