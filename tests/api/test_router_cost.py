"""What routers and floating IPs cost the database, counted as in `test_cost`."""

from tests.api.cloud import Account, Cloud
from tests.api.test_cost import made
from tests.databases import but_the_lock

MOST_FOR_AN_INTERFACE = 14


def test_calls_of_routers_cost_few_statements(cloud: Cloud) -> None:
    outside = made(cloud, "networks", {"network": {"router:external": True}})
    made(cloud, "subnets", {"subnet": {"network_id": outside, "ip_version": 4, "cidr": "192.0.2.0/24"}})
    alice = cloud.account("alice")

    def cost(method: str, path: str, body: object = None, by: Account = alice) -> int:
        told, heard = cloud.counted(lambda: cloud.call(method, f"/v2.0/{path}", body, by.token))
        assert told.status < 300, told.body
        print(f"{method} {path} {len(heard)} statements:", *heard, sep="\n  ")
        return len(but_the_lock(heard))

    def own(path: str, body: dict[str, object]) -> str:
        told = cloud.call("POST", f"/v2.0/{path}", body, alice.token)
        assert told.status == 201, told.body
        return str(next(iter(told.json.values()))["id"])

    def subnet(cidr: str) -> tuple[str, str]:
        network = own("networks", {"network": {}})
        version = 6 if ":" in cidr else 4
        return network, own("subnets", {"subnet": {"network_id": network, "ip_version": version, "cidr": cidr}})

    router = own("routers", {"router": {"external_gateway_info": {"network_id": outside}}})
    for n in range(3):
        network, joined = subnet(f"10.{n}.0.0/24")
        assert cost("PUT", f"routers/{router}/add_router_interface", {"subnet_id": joined}) <= MOST_FOR_AN_INTERFACE
    _, six = subnet("fd00::/64")
    assert cost("PUT", f"routers/{router}/add_router_interface", {"subnet_id": six}) <= MOST_FOR_AN_INTERFACE
    assert cost("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": six}) <= 11
    other = own("ports", {"port": {"network_id": subnet("10.9.0.0/24")[0]}})
    assert cost("PUT", f"routers/{router}/add_router_interface", {"port_id": other}) <= MOST_FOR_AN_INTERFACE
    ports = [own("ports", {"port": {"network_id": network}}) for _ in range(3)]
    body = {"floatingip": {"floating_network_id": outside, "port_id": ports[0]}}
    one = cost("POST", "floatingips", body)
    many = [{"floating_network_id": outside, "port_id": port} for port in ports[1:]]
    # One of them asks whether an address was restricted as an outside one.
    assert cost("POST", "floatingips", {"floatingips": many}) <= one <= 19
    assert cost("GET", "floatingips") == cost("GET", "floatingips?limit=1") <= 5
    assert cost("GET", "routers") <= 5
