"""What a call costs the database: what the driver executes, the token's look-up, BEGIN and COMMIT counted."""

from tests.api.cloud import Cloud
from tests.databases import but_the_lock

MOST_FOR_A_PORT = 10


def made(cloud: Cloud, path: str, body: dict[str, object]) -> str:
    told = cloud.call("POST", f"/v2.0/{path}", body, cloud.admin.token)
    assert told.status == 201, told.body
    return str(next(iter(told.json.values()))["id"])


def test_a_token_costs_one_look_up_by_its_key(cloud: Cloud) -> None:
    told, heard = cloud.counted(lambda: cloud.call("GET", "/v2.0/extensions", token=cloud.admin.token))
    assert told.status == 200
    (statement,) = heard
    assert statement.startswith("SELECT tokens.id") and "tokens.id = " in " ".join(statement.split())


def test_calls_cost_few_statements(cloud: Cloud) -> None:
    network = made(cloud, "networks", {"network": {"name": "n"}})
    made(cloud, "subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/16"}})
    port = made(cloud, "ports", {"port": {"network_id": network}})

    def cost(method: str, path: str, body: object = None) -> int:
        told, heard = cloud.counted(lambda: cloud.call(method, f"/v2.0/{path}", body, cloud.admin.token))
        assert told.status < 300, told.body
        print(f"{method} {path} {len(heard)} statements:", *heard, sep="\n  ")
        return len(but_the_lock(heard))

    assert cost("POST", "ports", {"port": {"network_id": network, "name": "p"}}) <= MOST_FOR_A_PORT
    policy = made(cloud, "qos/policies", {"policy": {"name": "q"}})
    placed = {"network_id": network, "binding:host_id": "hv1", "qos_policy_id": policy, "device_owner": "compute:x"}
    assert cost("POST", "ports", {"port": placed}) <= MOST_FOR_A_PORT + 2  # The policy, and what Placement is asked.
    assert cost("GET", f"ports/{port}") <= 2
    assert cost("PUT", f"ports/{port}", {"port": {"name": "q"}}) <= 8
    a_few = cost("GET", "ports")
    hundred = [{"network_id": network, "name": f"p{n}"} for n in range(100)]
    assert cost("POST", "ports", {"ports": hundred}) <= MOST_FOR_A_PORT + 1  # MACs that are free.
    spread = [{**placed, "binding:host_id": f"hv{n}"} for n in range(20)]
    assert cost("POST", "ports", {"ports": spread}) <= MOST_FOR_A_PORT + 3
    assert cost("GET", "ports") == a_few <= 4
    named = {"network_id": network, "fixed_ips": [{"ip_address": "10.1.9.77"}]}
    assert cost("POST", "ports", {"port": named}) <= MOST_FOR_A_PORT + 1  # What is free around the address.
    assert cost("GET", "networks") <= 4
    assert cost("DELETE", f"ports/{port}") <= 10
