"""Keystone's calls: logging in, tokens, projects, users, roles, and what ends a token."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from suimon.api.identity import passwords
from suimon.api.identity.first_admin import AccountFiles, ensure_admin
from suimon.api.identity.passwords import Passwords
from suimon.model.errors import Unavailable
from suimon.store.store import Store, StoreConfig
from tests.api.cloud import Account, Answer, Cloud, login_body

REFUSED = (401, "Unauthorized", "The request you have made requires authentication.")
DOMAIN = {"id": "default", "name": "Default"}


def project_scope(name: str) -> object:
    return {"project": {"name": name, "domain": {"name": "Default"}}}


def is_alive(cloud: Cloud, token: str) -> bool:
    status = cloud.call("GET", "/identity/v3/auth/catalog", token=token).status
    assert status in (200, 401)
    return status == 200


def test_a_token_says_who_where_and_what_it_opens(cloud: Cloud) -> None:
    told = cloud.call(
        "POST", "/identity/v3/auth/tokens", login_body("admin", cloud.admin_password, project_scope("admin"))
    )
    assert told.status == 201
    token = told.json["token"]
    assert token["user"] | {} == {
        "id": cloud.admin.user_id, "name": "admin", "domain": DOMAIN, "password_expires_at": None
    }  # fmt: skip
    assert token["project"] == {"id": cloud.admin.project_id, "name": "admin", "domain": DOMAIN}
    assert {role["name"] for role in token["roles"]} == {"admin", "manager", "member", "reader", "service"}
    assert token["expires_at"].endswith("Z") and "." in token["expires_at"]
    urls = {service["type"]: {e["interface"]: e["url"] for e in service["endpoints"]} for service in token["catalog"]}
    assert urls["network"] == dict.fromkeys(("public", "internal", "admin"), "http://cloud:9696")
    assert urls["identity"]["public"] == "http://cloud:9696/identity"


def test_only_the_hash_of_a_token_is_kept(cloud: Cloud) -> None:
    cloud.store.close()
    kept = b"".join(path.read_bytes() for path in cloud.directory.glob("suimon.db*"))
    cloud.store.open()
    assert cloud.admin.token.encode() not in kept
    assert cloud.admin_password.encode() not in kept


@pytest.mark.parametrize(
    "user, password, scope",
    [
        ("admin", "wrong", project_scope("admin")),
        ("nobody", "wrong", project_scope("admin")),
        ("admin", None, project_scope("nowhere")),
        ("admin", None, {"project": {"name": "admin", "domain": {"name": "Elsewhere"}}}),
        ("admin", None, {"domain": {"id": "default"}}),
        ("admin", None, {"system": {"all": False}}),
        ("admin", None, {"project": {"id": "system"}}),
    ],
)
def test_every_refused_login_looks_the_same(
    shared_cloud: Cloud, user: str, password: str | None, scope: object
) -> None:
    body = login_body(user, password or shared_cloud.admin_password, scope)
    told = shared_cloud.call("POST", "/identity/v3/auth/tokens", body)
    assert told.error == REFUSED
    assert told.headers["www-authenticate"] == 'Keystone uri="http://cloud:9696/identity/v3"'


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"auth": {}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["totp"], "totp": {}}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": 5}}}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": ""}}}}},
        [],
        b"{",
        b"",
    ],
)
def test_a_login_without_form_is_a_bad_request(shared_cloud: Cloud, body: object) -> None:
    assert shared_cloud.call("POST", "/identity/v3/auth/tokens", body).error[:2] == (400, "Bad Request")


def test_too_many_wrong_passwords_are_throttled_for_that_user_only(cloud: Cloud) -> None:
    for _ in range(10):
        assert cloud.call("POST", "/identity/v3/auth/tokens", login_body("admin", "wrong")).status == 401
    told = cloud.call("POST", "/identity/v3/auth/tokens", login_body("admin", cloud.admin_password))
    assert told.status == 429 and told.headers["retry-after"] == "60"
    assert cloud.call("POST", "/identity/v3/auth/tokens", login_body("somebody", "wrong")).status == 401


def test_scopes_by_id_by_default_and_none(cloud: Cloud) -> None:
    def scoped_to(scope: object) -> object:
        told = cloud.call("POST", "/identity/v3/auth/tokens", login_body("admin", cloud.admin_password, scope))
        return told.json["token"].get("project", {}).get("id")

    assert scoped_to({"project": {"id": cloud.admin.project_id}}) == cloud.admin.project_id
    assert scoped_to(None) == cloud.admin.project_id
    assert scoped_to("unscoped") is None


def test_an_unscoped_token_shows_projects_and_opens_no_network(cloud: Cloud) -> None:
    cloud.account("anna")
    told = cloud.call("POST", "/identity/v3/auth/tokens", login_body("anna", "anna", "unscoped"))
    token = told.headers["x-subject-token"]
    projects = cloud.call("GET", "/identity/v3/auth/projects", token=token).json["projects"]
    assert [project["name"] for project in projects] == ["anna"]
    assert cloud.call("GET", "/v2.0/ports", token=token).error[:2] == (403, "PolicyNotAuthorized")


def test_a_token_begets_one_for_another_project_that_lives_no_longer(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    proof = {"auth": {"identity": {"methods": ["token"], "token": {"id": anna.token}}, "scope": project_scope("anna")}}
    first = shown(cloud, anna.token, anna.token)
    cloud.clock.ahead += timedelta(hours=1)
    told = cloud.call("POST", "/identity/v3/auth/tokens", proof)
    assert told.status == 201
    assert told.json["token"]["expires_at"] == first.json["token"]["expires_at"]
    elsewhere = {"auth": {**proof["auth"], "scope": project_scope("admin")}}
    assert cloud.call("POST", "/identity/v3/auth/tokens", elsewhere).error == REFUSED


def shown(cloud: Cloud, token: str, subject: str) -> Answer:
    return cloud.call("GET", "/identity/v3/auth/tokens", token=token, headers={"x-subject-token": subject})


def test_tokens_are_shown_to_their_owner_to_admins_and_to_services(cloud: Cloud) -> None:
    anna, bert, nova = cloud.account("anna"), cloud.account("bert"), cloud.account("nova", "service")
    for asking in (anna, cloud.admin, nova):
        told = shown(cloud, asking.token, anna.token)
        assert told.json["token"]["project"]["name"] == "anna" and told.headers["x-subject-token"] == anna.token
    assert shown(cloud, bert.token, anna.token).status == 403
    assert shown(cloud, cloud.admin.token, "gone").status == 404
    subject = {"x-subject-token": anna.token}
    assert cloud.call("HEAD", "/identity/v3/auth/tokens", token=anna.token, headers=subject).status == 200


def test_a_revoked_token_is_dead_at_once(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    subject = {"x-subject-token": anna.token}
    assert cloud.call("DELETE", "/identity/v3/auth/tokens", token=bert.token, headers=subject).status == 403
    assert is_alive(cloud, anna.token)
    assert cloud.call("DELETE", "/identity/v3/auth/tokens", token=anna.token, headers=subject).status == 204
    assert not is_alive(cloud, anna.token)
    again = cloud.call("DELETE", "/identity/v3/auth/tokens", token=bert.token, headers=subject)
    assert (again.status, again.json["error"]["title"]) == (404, "Not Found")


def test_tokens_expire_after_twelve_hours_and_are_cleared_away(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    cloud.clock.ahead += timedelta(hours=11, minutes=59)
    assert is_alive(cloud, anna.token)
    cloud.clock.ahead += timedelta(minutes=2)
    assert not is_alive(cloud, anna.token)
    _, heard = cloud.counted(
        lambda: cloud.call("POST", "/identity/v3/auth/tokens", login_body("admin", cloud.admin_password))
    )
    assert [statement for statement in heard if statement.startswith("DELETE FROM tokens")]


def grant_path(cloud: Cloud, account: Account, role: str) -> str:
    roles = cloud.call("GET", f"/identity/v3/roles?name={role}", token=cloud.admin.token).json["roles"]
    return f"/identity/v3/projects/{account.project_id}/users/{account.user_id}/roles/{roles[0]['id']}"


def test_whatever_a_token_says_ends_it_when_it_ends(cloud: Cloud) -> None:
    admin = cloud.admin.token
    changes = {
        "password": lambda a: ("PATCH", f"/identity/v3/users/{a.user_id}", {"user": {"password": "new"}}),
        "user_off": lambda a: ("PATCH", f"/identity/v3/users/{a.user_id}", {"user": {"enabled": False}}),
        "user_gone": lambda a: ("DELETE", f"/identity/v3/users/{a.user_id}", None),
        "project_off": lambda a: ("PATCH", f"/identity/v3/projects/{a.project_id}", {"project": {"enabled": False}}),
        "project_gone": lambda a: ("DELETE", f"/identity/v3/projects/{a.project_id}", None),
        "role_taken": lambda a: ("DELETE", grant_path(cloud, a, "member"), None),
        "role_given": lambda a: ("PUT", grant_path(cloud, a, "reader"), None),
    }
    bystander = cloud.account("bystander")
    for name, change in changes.items():
        account = cloud.account(name)
        assert is_alive(cloud, account.token)
        method, path, body = change(account)
        assert cloud.call(method, path, body, admin).status in (200, 204), name
        assert not is_alive(cloud, account.token), name
    assert is_alive(cloud, bystander.token)


def test_a_harmless_change_leaves_tokens_alive(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    for path, body in (
        (f"users/{anna.user_id}", {"user": {"description": "who", "email": "a@example.org"}}),
        (f"projects/{anna.project_id}", {"project": {"name": "other", "description": None}}),
    ):
        assert cloud.call("PATCH", f"/identity/v3/{path}", body, cloud.admin.token).status == 200
    assert is_alive(cloud, anna.token)


def test_users_change_their_own_password_with_the_old_one(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    path, body = f"/identity/v3/users/{anna.user_id}/password", {"password": "new", "original_password": "anna"}
    assert cloud.call("POST", path, {"user": body}, bert.token).status == 401
    assert cloud.call("POST", path, {"user": {**body, "original_password": "no"}}, anna.token).status == 401
    assert cloud.call("POST", path, {"user": body}, anna.token).status == 204
    assert not is_alive(cloud, anna.token)
    assert cloud.login("anna", "new", "anna").user_id == anna.user_id


def test_a_stolen_token_does_not_help_to_guess_the_password(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    path = f"/identity/v3/users/{anna.user_id}/password"
    for number in range(10):
        body = {"user": {"password": "new", "original_password": f"guess{number}"}}
        assert cloud.call("POST", path, body, anna.token).status == 401
    body = {"user": {"password": "new", "original_password": "anna"}}
    assert cloud.call("POST", path, body, anna.token).status == 429


CRUD = [
    ("project", "projects", {"name": "p", "description": "d", "domain_id": "default", "enabled": True}, {"name": "q"}),
    ("user", "users", {"name": "u", "password": "x", "email": "u@example.org"}, {"enabled": False}),
    ("role", "roles", {"name": "r"}, {"description": "what", "name": "s"}),
]


@pytest.mark.parametrize("word, plural, new, change", CRUD, ids=lambda value: value if isinstance(value, str) else "")
def test_projects_users_and_roles_are_made_found_changed_and_deleted(
    cloud: Cloud, word: str, plural: str, new: dict[str, object], change: dict[str, object]
) -> None:
    token, path = cloud.admin.token, f"/identity/v3/{plural}"
    told = cloud.call("POST", path, {word: new}, token)
    assert told.status == 201
    made = told.json[word]
    assert made.items() >= {key: value for key, value in new.items() if key != "password"}.items()
    assert "password_hash" not in made and "password" not in made
    assert made["links"]["self"] == f"http://cloud:9696{path}/{made['id']}"
    assert cloud.call("POST", path, {word: new}, token).error[:2] == (409, "Conflict")
    assert cloud.call("GET", f"{path}/{new['name']}", token=token).status == 404
    assert [one["id"] for one in cloud.call("GET", f"{path}?name={new['name']}", token=token).json[plural]] == [
        made["id"]
    ]
    assert cloud.call("PATCH", f"{path}/{made['id']}", {word: change}, token).json[word].items() >= change.items()
    assert cloud.call("GET", f"{path}/{made['id']}", token=token).json[word].items() >= change.items()
    assert cloud.call("DELETE", f"{path}/{made['id']}", token=token).status == 204
    assert cloud.call("GET", f"{path}/{made['id']}", token=token).error[:2] == (404, "Not Found")
    assert cloud.call("DELETE", f"{path}/{made['id']}", token=token).status == 404


@pytest.mark.parametrize(
    "path, body",
    [
        ("projects", {"project": {}}),
        ("projects", {"project": {"name": ""}}),
        ("projects", {"project": {"name": "x" * 256}}),
        ("projects", {"project": {"name": "x", "enabled": "maybe"}}),
        ("projects", {"project": {"name": "x", "domain_id": "other"}}),
        ("projects", {"project": []}),
        ("users", {"user": {"name": "x", "password": 1}}),
        ("roles", {"role": {"name": None}}),
        ("roles", None),
    ],
)
def test_bad_bodies_are_refused_with_the_name_of_the_field(shared_cloud: Cloud, path: str, body: object) -> None:
    assert shared_cloud.call("POST", f"/identity/v3/{path}", body, shared_cloud.admin.token).error[0] == 400


def test_role_assignments_are_listed_with_names(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    path = f"/identity/v3/role_assignments?user.id={anna.user_id}&include_names=True&role.id=None"
    (told,) = cloud.call("GET", path, token=cloud.admin.token).json["role_assignments"]
    assert told["links"]["assignment"] == f"http://cloud:9696{grant_path(cloud, anna, 'member')}"
    assert told["user"] == {"id": anna.user_id, "name": "anna", "domain": DOMAIN}
    assert told["role"]["name"] == "member" and told["scope"]["project"]["name"] == "anna"
    member = grant_path(cloud, anna, "member")
    assert cloud.call("HEAD", member, token=cloud.admin.token).status == 204
    assert cloud.call("HEAD", grant_path(cloud, anna, "admin"), token=cloud.admin.token).status == 404
    roles = cloud.call("GET", member.rsplit("/", 1)[0], token=cloud.admin.token).json["roles"]
    assert [role["name"] for role in roles] == ["member"]


MEMBERS_MAY = {
    *("auth/catalog", "auth/projects", "auth/domains", "auth/system", "roles", "role_inferences"),
    *("domains", "services", "endpoints", "regions"),
}
ADMINS_MAY = {
    *("projects", "users", "groups", "role_assignments", "projects/{admin.project_id}", "users/{admin.user_id}"),
    *("users/{admin.user_id}/application_credentials", "users/{admin.user_id}/access_rules"),
    *("users/{admin.user_id}/groups", "users/{admin.user_id}/projects"),
}


@pytest.mark.parametrize("path", sorted(MEMBERS_MAY | ADMINS_MAY))
def test_who_may_look_at_what(shared_cloud: Cloud, path: str) -> None:
    if not hasattr(shared_cloud, "looker"):
        shared_cloud.looker = shared_cloud.account("looker")  # type: ignore[attr-defined]
    url = f"/identity/v3/{path.format(admin=shared_cloud.admin)}"
    assert shared_cloud.call("GET", url).error == REFUSED
    assert shared_cloud.call("GET", url, token="guessed").error == REFUSED
    assert shared_cloud.call("GET", url, token=shared_cloud.admin.token).status == 200
    told = shared_cloud.call("GET", url, token=shared_cloud.looker.token)  # type: ignore[attr-defined]
    assert told.status == (200 if path in MEMBERS_MAY else 403)


@pytest.mark.parametrize("plural, word", [("projects", "project"), ("users", "user"), ("roles", "role")])
def test_members_change_nothing(cloud: Cloud, plural: str, word: str) -> None:
    anna = cloud.account("anna")
    target = {"projects": anna.project_id, "users": anna.user_id, "roles": "member"}[plural]
    for method, path, body in (
        ("POST", plural, {word: {"name": "x", "password": "x"}}),
        ("PATCH", f"{plural}/{target}", {word: {"name": "x"}}),
        ("DELETE", f"{plural}/{target}", None),
        ("PUT", grant_path(cloud, anna, "admin").removeprefix("/identity/v3/"), None),
    ):
        assert cloud.call(method, f"/identity/v3/{path}", body, anna.token).error[:2] == (403, "Forbidden"), path


def test_version_documents_need_no_token(shared_cloud: Cloud) -> None:
    assert shared_cloud.call("GET", "/identity").status == 300
    told = shared_cloud.call("GET", "/identity/v3/").json["version"]
    assert (told["id"], told["status"]) == ("v3.14", "stable")
    assert shared_cloud.call("GET", "/identity/v3/nosuch").error == REFUSED
    assert shared_cloud.call("GET", "/identity/v3/nosuch", token=shared_cloud.admin.token).error[0] == 404
    assert shared_cloud.call("PUT", "/identity/v3/projects", token=shared_cloud.admin.token).error[0] == 405


def test_the_first_admin_is_made_once_and_told_only_to_its_owner(cloud: Cloud) -> None:
    for path in (cloud.files.clouds_yaml, cloud.files.openrc):
        assert path.stat().st_mode & 0o777 == 0o600
        assert cloud.admin_password in path.read_text()
    assert cloud.run(ensure_admin(cloud.store, cloud.passwords, cloud.files)) is False
    assert cloud.admin_password in cloud.files.clouds_yaml.read_text()


def test_a_first_start_that_died_is_made_up_for_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AccountFiles(directory=tmp_path, url="http://cloud:9696")

    async def die(*_: object) -> None:
        raise Unavailable("the disk is full")

    store = Store(StoreConfig(url=f"sqlite:///{tmp_path / 'suimon.db'}"))
    store.open()
    hasher = Passwords(passwords.Config(log2_n=4))
    with monkeypatch.context() as broken:
        broken.setattr(store, "write", die)
        with pytest.raises(Unavailable):
            asyncio.run(ensure_admin(store, hasher, files))
    lost = files.clouds_yaml.read_text()
    assert asyncio.run(ensure_admin(store, hasher, files)) is True
    assert files.clouds_yaml.read_text() != lost
    store.close()
    hasher.close()
