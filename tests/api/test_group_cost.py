"""What calls about security groups and QoS cost the database: no more for many rules than for a few."""

from tests.api.cloud import Cloud
from tests.api.test_cost import made
from tests.databases import but_the_lock


def test_statements_do_not_grow_with_rules(cloud: Cloud) -> None:
    group = made(cloud, "security-groups", {"security_group": {"name": "g"}})
    project = cloud.call("GET", f"/v2.0/security-groups/{group}", token=cloud.admin.token).json["security_group"]
    unlimited = {"quota": {"security_group": -1, "security_group_rule": -1}}
    assert cloud.call("PUT", f"/v2.0/quotas/{project['project_id']}", unlimited, cloud.admin.token).status == 200
    policy = made(cloud, "qos/policies", {"policy": {"name": "q"}})

    def cost(method: str, path: str, body: object = None) -> int:
        told, heard = cloud.counted(lambda: cloud.call(method, f"/v2.0/{path}", body, cloud.admin.token))
        assert told.status < 300, told.body
        print(f"{method} {path} {len(heard)} statements:", *heard, sep="\n  ")
        return len(but_the_lock(heard))

    def rules(first: int, count: int) -> dict[str, object]:
        said = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
        numbers = range(first, first + count)
        return {"security_group_rules": [{**said, "port_range_min": n, "port_range_max": n} for n in numbers]}

    assert cost("POST", "security-group-rules", rules(1, 2)) <= 9
    assert cost("POST", "security-group-rules", rules(1000, 100)) <= 9
    assert cost("GET", f"security-groups/{group}") <= 3
    assert cost("GET", "security-groups") <= 6
    assert cost("GET", "security-group-rules") <= 5
    groups = {"security_groups": [{"name": f"g{n}"} for n in range(50)]}
    assert cost("POST", "security-groups", groups) <= 11
    assert cost("DELETE", f"security-groups/{group}") <= 14
    limit = {"bandwidth_limit_rule": {"max_kbps": 1}}
    assert cost("POST", f"qos/policies/{policy}/bandwidth_limit_rules", limit) <= 13
    assert cost("GET", "qos/policies") <= 10
