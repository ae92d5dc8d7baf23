"""Application credentials: made once, used instead of a password, gone with what they stand for."""

from datetime import UTC, timedelta
from typing import Any

import pytest

from tests.api.cloud import Account, Answer, Cloud
from tests.api.test_identity import REFUSED, grant_path, is_alive


def made(cloud: Cloud, account: Account, **more: Any) -> Answer:
    body = {"application_credential": {"name": "robot", **more}}
    path = f"/identity/v3/users/{account.user_id}/application_credentials"
    return cloud.call("POST", path, body, account.token)


def credential(cloud: Cloud, account: Account, **more: Any) -> dict[str, Any]:
    told = made(cloud, account, **more)
    assert told.status == 201, told.body
    shown: dict[str, Any] = told.json["application_credential"]
    return shown


def login(cloud: Cloud, **proof: Any) -> Answer:
    body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": proof}}}
    return cloud.call("POST", "/identity/v3/auth/tokens", body)


def token(cloud: Cloud, shown: dict[str, Any]) -> str:
    told = login(cloud, id=shown["id"], secret=shown["secret"])
    assert told.status == 201, told.body
    return told.headers["x-subject-token"]


def test_the_secret_is_told_once_and_opens_the_project(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    shown = credential(cloud, anna, description="for CI")
    assert len(shown["secret"]) > 40
    assert shown["project_id"] == anna.project_id and shown["unrestricted"] is False and shown["expires_at"] is None
    assert [role["name"] for role in shown["roles"]] == ["member", "reader"]
    path = f"/identity/v3/users/{anna.user_id}/application_credentials"
    (again,) = cloud.call("GET", f"{path}?name=robot", token=anna.token).json["application_credentials"]
    assert again == {key: value for key, value in shown.items() if key != "secret"}
    assert cloud.call("GET", f"{path}/{shown['id']}", token=anna.token).json["application_credential"] == again
    assert cloud.call("GET", f"{path}?name=other", token=anna.token).json["application_credentials"] == []
    told = login(cloud, id=shown["id"], secret=shown["secret"]).json["token"]
    assert told["methods"] == ["application_credential"] and told["project"]["id"] == anna.project_id
    assert told["application_credential"] == {"id": shown["id"], "name": "robot", "restricted": True}
    assert cloud.call("GET", "/v2.0/networks", token=token(cloud, shown)).status == 200


def test_logging_in_by_the_name_and_the_user(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    shown = credential(cloud, anna, secret="chosen")
    assert shown["secret"] == "chosen"
    by_name = {"name": "anna", "domain": {"name": "Default"}}
    assert login(cloud, name="robot", user=by_name, secret="chosen").status == 201
    assert login(cloud, name="robot", user={"id": anna.user_id}, secret="chosen").status == 201
    assert login(cloud, name="robot", secret="chosen").status == 400
    for wrong in (
        {"name": "robot", "user": {"id": cloud.admin.user_id}, "secret": "chosen"},
        {"name": "robot", "user": {"name": "anna", "domain": {"name": "Else"}}, "secret": "chosen"},
        {"name": "other", "user": by_name, "secret": "chosen"},
        {"id": shown["id"], "secret": "guessed"},
        {"id": "0" * 32, "secret": "chosen"},
    ):
        assert login(cloud, **wrong).error == REFUSED, wrong


def test_roles_are_no_more_than_the_tokens(cloud: Cloud) -> None:
    anna = cloud.account("anna", "manager")
    (reader,) = [credential(cloud, anna, roles=[{"name": "reader"}])]
    told = cloud.call("POST", "/v2.0/networks", {"network": {}}, token(cloud, reader))
    assert told.error[:2] == (403, "PolicyNotAuthorized")
    shown = credential(cloud, anna, name="writer", roles=[{"id": role_id(cloud, "member")}])
    assert [role["name"] for role in shown["roles"]] == ["member", "reader"]
    assert cloud.call("POST", "/v2.0/networks", {"network": {}}, token(cloud, shown)).status == 201
    for roles in ([{"name": "admin"}], [{"name": "nosuch"}], [{"name": "member"}, {"name": "admin"}], [{}]):
        assert made(cloud, anna, name="x", roles=roles).error[:2] == (400, "Bad Request"), roles


def role_id(cloud: Cloud, name: str) -> str:
    return str(cloud.call("GET", f"/identity/v3/roles?name={name}", token=cloud.admin.token).json["roles"][0]["id"])


def test_it_expires_and_its_tokens_with_it(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    ends = (cloud.clock().astimezone(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    shown = credential(cloud, anna, expires_at=ends)
    assert shown["expires_at"] == ends
    told = login(cloud, id=shown["id"], secret=shown["secret"])
    assert told.json["token"]["expires_at"] == f"{ends}Z"
    cloud.clock.ahead += timedelta(hours=1)
    assert login(cloud, id=shown["id"], secret=shown["secret"]).error == REFUSED
    assert not is_alive(cloud, told.headers["x-subject-token"])


@pytest.mark.parametrize(
    "more",
    [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "soon"},
        {"name": ""},
        {"secret": 5},
        {"access_rules": [{"path": "/v2.0/ports", "method": "GET", "service": "network"}]},
        {"roles": "member"},
    ],
)
def test_what_cant_be_is_refused(shared_cloud: Cloud, more: dict[str, Any]) -> None:
    assert made(shared_cloud, shared_cloud.admin, **more).error[:2] == (400, "Bad Request")


def test_names_are_unique_for_a_user_and_no_rules_are_no_hindrance(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    credential(cloud, anna, access_rules=[])
    assert made(cloud, anna).error[:2] == (409, "Conflict")
    credential(cloud, bert)


def test_it_needs_a_token_with_a_project(cloud: Cloud) -> None:
    proof = {"methods": ["token"], "token": {"id": cloud.admin.token}}
    unscoped = cloud.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": proof, "scope": "unscoped"}})
    account = Account(unscoped.headers["x-subject-token"], cloud.admin.user_id, "")
    assert made(cloud, account).status == 400


def test_strangers_and_admins(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    shown = credential(cloud, anna)
    path = f"/identity/v3/users/{anna.user_id}/application_credentials"
    for method, url in (("GET", path), ("GET", f"{path}/{shown['id']}"), ("DELETE", f"{path}/{shown['id']}")):
        assert cloud.call(method, url, token=bert.token).error[:2] == (403, "Forbidden")
    for stranger in (bert, cloud.admin):
        body = {"application_credential": {"name": "other"}}
        assert cloud.call("POST", path, body, stranger.token).error[:2] == (403, "Forbidden")
    elsewhere = f"/identity/v3/users/{bert.user_id}/application_credentials/{shown['id']}"
    assert cloud.call("GET", elsewhere, token=bert.token).error[0] == 404
    assert cloud.call("GET", path, token=cloud.admin.token).status == 200
    assert cloud.call("DELETE", f"{path}/{shown['id']}", token=cloud.admin.token).status == 204
    assert cloud.call("DELETE", f"{path}/{shown['id']}", token=cloud.admin.token).status == 404


def test_a_restricted_one_makes_and_deletes_no_others_and_begets_no_tokens(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    for unrestricted, status in ((False, 403), (True, 201)):
        shown = credential(cloud, anna, name=f"first {unrestricted}", unrestricted=unrestricted)
        robot = Account(token(cloud, shown), anna.user_id, anna.project_id)
        assert made(cloud, robot, name=f"second {unrestricted}").status == status
        path = f"/identity/v3/users/{anna.user_id}/application_credentials/{shown['id']}"
        assert cloud.call("DELETE", path, token=robot.token).status == (204 if unrestricted else 403)
    shown = credential(cloud, anna, name="third")
    proof = {"methods": ["token"], "token": {"id": token(cloud, shown)}}
    assert cloud.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": proof}}).error == REFUSED


def test_it_dies_with_what_it_stands_for_and_takes_its_tokens_along(cloud: Cloud) -> None:
    admin = cloud.admin.token
    changes = {
        "credential_gone": lambda a, c: (
            "DELETE", f"/identity/v3/users/{a.user_id}/application_credentials/{c['id']}", None
        ),
        "user_off": lambda a, c: ("PATCH", f"/identity/v3/users/{a.user_id}", {"user": {"enabled": False}}),
        "user_gone": lambda a, c: ("DELETE", f"/identity/v3/users/{a.user_id}", None),
        "project_off": lambda a, c: ("PATCH", f"/identity/v3/projects/{a.project_id}", {"project": {"enabled": False}}),
        "project_gone": lambda a, c: ("DELETE", f"/identity/v3/projects/{a.project_id}", None),
        "role_taken": lambda a, c: ("DELETE", grant_path(cloud, a, "member"), None),
    }  # fmt: skip
    for name, change in changes.items():
        account = cloud.account(name)
        shown = credential(cloud, account)
        living = token(cloud, shown)
        method, path, body = change(account, shown)
        assert cloud.call(method, path, body, admin).status in (200, 204), name
        assert not is_alive(cloud, living), name
        assert login(cloud, id=shown["id"], secret=shown["secret"]).error == REFUSED, name


def test_what_was_taken_and_given_back_needs_a_new_one(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    shown = credential(cloud, anna)
    for method in ("DELETE", "PUT"):
        assert cloud.call(method, grant_path(cloud, anna, "member"), token=cloud.admin.token).status == 204
    assert login(cloud, id=shown["id"], secret=shown["secret"]).error == REFUSED


def test_a_deleted_role_takes_along_the_credentials_that_lean_on_it(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    role = cloud.call("POST", "/identity/v3/roles", {"role": {"name": "auditor"}}, cloud.admin.token).json["role"]["id"]
    assert cloud.call("PUT", grant_path(cloud, anna, "auditor"), token=cloud.admin.token).status == 204
    anna = cloud.login("anna", "anna", "anna")
    shown = credential(cloud, anna, roles=[{"name": "auditor"}])
    assert cloud.call("DELETE", f"/identity/v3/roles/{role}", token=cloud.admin.token).status == 204
    assert login(cloud, id=shown["id"], secret=shown["secret"]).error == REFUSED


def test_a_new_password_leaves_it_alive(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    shown = credential(cloud, anna)
    path = f"/identity/v3/users/{anna.user_id}"
    assert cloud.call("PATCH", path, {"user": {"password": "new"}}, cloud.admin.token).status == 200
    assert login(cloud, id=shown["id"], secret=shown["secret"]).status == 201
