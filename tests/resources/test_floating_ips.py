"""Floating IPs: an address outside, a port inside, a router between."""

from typing import Any, NamedTuple

import pytest

from suimon.model.actor import SYSTEM
from suimon.model.view import PortReport
from suimon.resources.hosts import set_port_status
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

FIPS = "floatingips"


class Scene(NamedTuple):
    outside: str
    network: str
    subnet: str
    router: str
    port: str


@pytest.fixture
def scene(world: World) -> Scene:
    outside, network = world.outside(), world.network()
    subnet = world.subnet(network)
    router = world.router(external_gateway_info={"network_id": outside})
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    return Scene(outside, network, subnet, router, world.port(network)["id"])


def create(world: World, scene: Scene, **more: Any) -> dict[str, Any]:
    return world.create(FIPS, floating_network_id=scene.outside, **more)


def test_with_and_without_a_port(world: World, scene: Scene) -> None:
    alone = create(world, scene)
    assert (alone["floating_ip_address"], alone["port_id"], alone["router_id"]) == ("192.0.2.3", None, None)
    assert (alone["status"], alone["port_details"]) == ("DOWN", None)
    joined = create(world, scene, port_id=scene.port)
    assert (joined["fixed_ip_address"], joined["router_id"], joined["port_id"]) == (
        "10.0.0.2",
        scene.router,
        scene.port,
    )
    assert joined["port_details"]["network_id"] == scene.network
    assert world.get(FIPS, joined["id"]) == joined
    holders = world.list("ports", "device_owner=network:floatingip", ADMIN)
    assert {port["device_id"] for port in holders} == {alone["id"], joined["id"]}


def test_joining_and_parting(world: World, scene: Scene) -> None:
    made = create(world, scene)["id"]
    joined = world.update(FIPS, made, {"port_id": scene.port})
    assert (joined["router_id"], joined["fixed_ip_address"]) == (scene.router, "10.0.0.2")
    kept = world.update(FIPS, made, {"description": "d"})
    assert (kept["port_id"], kept["description"]) == (scene.port, "d")
    assert world.update(FIPS, made, {})["revision_number"] == 3
    parted = world.update(FIPS, made, {"port_id": None})
    assert (parted["port_id"], parted["router_id"], parted["fixed_ip_address"]) == (None, None, None)


def test_deleting_gives_the_address_back(world: World, scene: Scene) -> None:
    made = create(world, scene, port_id=scene.port)
    world.delete(FIPS, made["id"])
    assert create(world, scene)["floating_ip_address"] == made["floating_ip_address"]


def test_a_deleted_port_lets_go(world: World, scene: Scene) -> None:
    made = create(world, scene, port_id=scene.port)["id"]
    world.delete("ports", scene.port)
    left = world.get(FIPS, made)
    assert (left["port_id"], left["status"], left["port_details"]) == (None, "DOWN", None)


def test_it_works_when_its_port_does(world: World, scene: Scene) -> None:
    world.host("h1")
    world.update("ports", scene.port, {"binding:host_id": "h1"}, ADMIN)
    made = create(world, scene, port_id=scene.port)
    assert made["status"] == "DOWN"
    world.write(lambda tx: set_port_status(tx, "h1", [PortReport(scene.port, "ACTIVE")]), SYSTEM)
    assert world.get(FIPS, made["id"])["status"] == "ACTIVE"
    assert world.update(FIPS, made["id"], {"port_id": None})["status"] == "DOWN"
    assert world.update(FIPS, made["id"], {"port_id": scene.port})["status"] == "ACTIVE"
    world.update("ports", scene.port, {"binding:host_id": ""}, ADMIN)
    assert world.get(FIPS, made["id"])["status"] == "DOWN"


def test_an_admin_chooses_the_address(world: World, scene: Scene) -> None:
    chosen = {"floating_network_id": scene.outside, "floating_ip_address": "192.0.2.77"}
    assert world.create(FIPS, chosen, by=ADMIN)["floating_ip_address"] == "192.0.2.77"
    with refused("IpAddressAlreadyAllocated"):
        world.create(FIPS, chosen, by=ADMIN)
    with refused("PolicyNotAuthorized"):
        world.create(FIPS, chosen)
    subnet = world.subnet(scene.outside, "198.51.100.0/24", ADMIN)
    assert create(world, scene, subnet_id=subnet)["floating_ip_address"] == "198.51.100.2"


def test_the_address_is_of_ipv4(world: World, scene: Scene) -> None:
    six = world.subnet(scene.outside, "2001:db8::/64", ADMIN)
    assert create(world, scene)["floating_ip_address"] == "192.0.2.3"
    with refused("BadRequest", "is not an IPv4 address"):
        create(world, scene, subnet_id=six)


def test_impossible_networks(world: World, scene: Scene) -> None:
    for network, kind, words in (
        (
            scene.network,
            "BadRequest",
            f"Bad floatingip request: Network {scene.network} is not a valid external network.",
        ),
        (NOBODY, "NetworkNotFound", f"Network {NOBODY} could not be found."),
        (world.network(ADMIN, **{"router:external": True}), "BadRequest", "does not contain any IPv4 subnet."),
    ):
        with refused(kind, words):
            world.create(FIPS, floating_network_id=network)
    with refused("InvalidIpForNetwork"):
        world.create(FIPS, floating_network_id=scene.outside, floating_ip_address="203.0.113.1", by=ADMIN)
    assert world.list(FIPS, by=ADMIN) == []


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"port_id": NOBODY}, "PortNotFound", f"Port {NOBODY} could not be found."),
        ({"port_id": "BOBS"}, "BadRequest", "owned by a different project"),
        (
            {"port_id": "PORT", "fixed_ip_address": "10.0.0.77"},
            "BadRequest",
            "Port PORT does not have fixed ip 10.0.0.77.",
        ),
        ({"fixed_ip_address": "10.0.0.2"}, "BadRequest", "without a port_id"),
        ({"port_id": "NONE"}, "BadRequest", "no fixed IPv4 addresses"),
        ({"port_id": "TWO"}, "BadRequest", "multiple fixed IPv4 addresses"),
        (
            {"port_id": "FAR"},
            "ExternalGatewayForFloatingIPNotFound",
            "is not reachable from subnet FAR_SUBNET.  Therefore, cannot associate Port FAR with a Floating IP.",
        ),
        (
            {"port_id": "PORT"},
            "FloatingIPPortAlreadyAssociated",
            "with port PORT using fixed IP 10.0.0.2, as that fixed IP already has a floating IP on external network",
        ),
    ],
)
def test_impossible_associations(world: World, scene: Scene, body: dict[str, str], kind: str, words: str) -> None:
    create(world, scene, port_id=scene.port)
    far = world.network()
    two = [{"subnet_id": scene.subnet}, {"subnet_id": scene.subnet}]
    shared = world.network(ADMIN, shared=True, project_id="red")
    names = {
        "FAR_SUBNET": world.subnet(far, "10.9.0.0/24"),
        "PORT": scene.port,
        "NONE": world.port(scene.network, fixed_ips=[])["id"],
        "TWO": world.port(scene.network, fixed_ips=two)["id"],
        "FAR": world.port(far)["id"],
        "BOBS": world.port(shared, BOB)["id"],
    }
    filled = {name: names.get(value, value) for name, value in body.items()}
    for name, value in names.items():
        words = words.replace(f" {name} ", f" {value} ").replace(f" {name}.", f" {value}.")
    with refused(kind, words):
        create(world, scene, **filled)
    alone = create(world, scene)["id"]
    with refused(kind, words):
        world.update(FIPS, alone, filled)
    assert len(world.list(FIPS)) == 2


def test_a_given_fixed_ip(world: World, scene: Scene) -> None:
    fixed_ips = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    port = world.port(scene.network, fixed_ips=fixed_ips)["id"]
    made = create(world, scene, port_id=port, fixed_ip_address="10.0.0.51")
    assert made["fixed_ip_address"] == "10.0.0.51"
    with refused("BadRequest", "its original fixed_ip has been associated to a floating ip"):
        world.update("ports", port, {"fixed_ips": [{"ip_address": "10.0.0.50"}]})
    with refused("BadRequest", "fixed_ip_address cannot be specified without a port_id."):
        world.update(FIPS, made["id"], {"fixed_ip_address": "10.0.0.50"})
    moved = world.update(FIPS, made["id"], {"port_id": port, "fixed_ip_address": "10.0.0.50"})
    assert (moved["port_id"], moved["fixed_ip_address"]) == (port, "10.0.0.50")


def test_the_subnets_own_gateway_is_preferred(world: World, scene: Scene) -> None:
    network = world.network()
    subnet = world.subnet(network, "10.1.0.0/24")
    first, second = (world.router(external_gateway_info={"network_id": scene.outside}) for _ in range(2))
    side = world.port(network, fixed_ips=[{"ip_address": "10.1.0.9"}])["id"]
    world.act(first, "add_router_interface", {"port_id": side})
    world.act(second, "add_router_interface", {"subnet_id": subnet})
    assert create(world, scene, port_id=world.port(network)["id"])["router_id"] == second


def test_what_a_floating_ip_needs_stays(world: World, scene: Scene) -> None:
    create(world, scene, port_id=scene.port)
    with refused(
        "RouterExternalGatewayInUseByFloatingIp", f"a gateway to external network {scene.outside} is required"
    ):
        world.update("routers", scene.router, {"external_gateway_info": {}})
    with refused("RouterInterfaceInUseByFloatingIP", "as it is required by one or more floating IPs."):
        world.act(scene.router, "remove_router_interface", {"subnet_id": scene.subnet})


def test_revisions_and_strangers(world: World, scene: Scene) -> None:
    made = create(world, scene)["id"]
    for refuse in (lambda: world.update(FIPS, made, {"description": "x"}, expected=7),
                   lambda: world.delete(FIPS, made, expected=7)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    for read in (world.get, world.delete, lambda path, id_, by: world.update(path, id_, {}, by)):
        with refused("FloatingIPNotFound", f"Floating IP {made} could not be found"):
            read(FIPS, made, BOB)
    assert len(world.list(FIPS, by=ALICE)) == 1


def test_the_address_belongs_to_nobody(world: World, scene: Scene) -> None:
    create(world, scene)
    (holder,) = world.list("ports", "device_owner=network:floatingip", ADMIN)
    assert (holder["project_id"], holder["status"]) == ("", "N/A")


def test_saying_nothing_detaches(world: World, scene: Scene) -> None:
    made = create(world, scene, port_id=scene.port)["id"]
    parted = world.update(FIPS, made, {})
    assert (parted["port_id"], parted["router_id"], parted["revision_number"]) == (None, None, 1)


def test_a_name_is_whole(world: World, scene: Scene) -> None:
    made = create(world, scene, dns_name="Web", dns_domain="Example.org.")
    assert (made["dns_name"], made["dns_domain"]) == ("web", "example.org.")
    for body, words in (
        ({"dns_name": "web"}, "dns_name cannot be specified without a dns_domain."),
        ({"dns_domain": "example.org."}, "dns_domain cannot be specified without a dns_name."),
    ):
        with refused("BadRequest", words):
            create(world, scene, **body)
    with refused("HTTPBadRequest", "It should be a relative domain name"):
        create(world, scene, dns_name="web.example.org.", dns_domain="example.org.")


def test_a_policy(world: World, scene: Scene) -> None:
    policy = world.create("qos/policies", by=ADMIN, project_id="red")["id"]
    made = create(world, scene, qos_policy_id=policy)
    assert made["qos_policy_id"] == policy
    with refused("QosPolicyInUse"):
        world.delete("qos/policies", policy, ADMIN)
    for act in (
        lambda: create(world, scene, qos_policy_id=NOBODY),
        lambda: world.update(FIPS, made["id"], {"qos_policy_id": NOBODY}),
    ):
        with refused("QosPolicyNotFound"):
            act()
    assert world.update(FIPS, made["id"], {"qos_policy_id": None})["qos_policy_id"] is None
    world.update("networks", scene.outside, {"qos_policy_id": policy}, ADMIN)
    shown = world.get(FIPS, made["id"])
    assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (None, policy)
    assert [one["qos_network_policy_id"] for one in world.list(FIPS)] == [policy]


def test_a_chosen_router(world: World, scene: Scene) -> None:
    inner, far = world.router(), world.network()
    world.act(inner, "add_router_interface", {"subnet_id": world.subnet(far, "10.9.0.0/24")})
    behind = world.port(far)["id"]
    made = create(world, scene, port_id=behind, router_id=scene.router)
    assert (made["router_id"], made["fixed_ip_address"]) == (scene.router, "10.9.0.2")
    second = world.router(external_gateway_info={"network_id": scene.outside})
    moved = world.update(FIPS, made["id"], {"router_id": second})
    assert (moved["router_id"], moved["port_id"]) == (second, behind)
    assert create(world, scene, router_id=second)["router_id"] is None
    with refused("Conflict", f"Router {inner} has no external gateway on network {scene.outside}."):
        world.update(FIPS, made["id"], {"router_id": inner})
    for stranger in (NOBODY, world.router(BOB, external_gateway_info={"network_id": scene.outside})):
        with refused("RouterNotFound"):
            world.update(FIPS, made["id"], {"router_id": stranger})


def test_ports_that_none_is_for(world: World, scene: Scene) -> None:
    server = world.port(scene.network, device_owner="network:dhcp")["id"]
    with refused("BadRequest", f"Port {server} is unable to be assigned a floating IP."):
        create(world, scene, port_id=server)
    with refused("BadRequest", "association with fd00::1, since that is not an IPv4 address."):
        create(world, scene, port_id=scene.port, fixed_ip_address="fd00::1")


def test_an_admins_floating_ip_stays(world: World, scene: Scene) -> None:
    world.create(FIPS, floating_network_id=scene.outside, port_id=scene.port, by=ADMIN)
    with refused("FipAssociated", f"on port {scene.port} because the port still has an associated floating IP."):
        world.delete("ports", scene.port)
    world.delete("ports", scene.port, ADMIN)


def test_pools(world: World, scene: Scene) -> None:
    world.subnet(scene.outside, "2001:db8::/64", ADMIN)
    hidden = world.network(ADMIN)
    world.subnet(hidden, "10.200.0.0/24", ADMIN)
    (pool,) = world.list("floatingip-pools")
    told = (pool["network_id"], pool["cidr"], pool["subnet_name"], pool["project_id"], pool["tenant_id"])
    assert told == (scene.outside, "192.0.2.0/24", "", "red", "red")
    assert create(world, scene, subnet_id=pool["subnet_id"])["floating_ip_address"].startswith("192.0.2.")
    assert len(world.list("floatingip-pools", by=ADMIN)) == 1


def test_many_at_once(world: World, scene: Scene) -> None:
    other = world.port(scene.network)["id"]
    bodies = [
        {"floating_network_id": scene.outside, **more} for more in ({"port_id": scene.port}, {}, {"port_id": other})
    ]
    made = world.create_many(FIPS, bodies)
    assert [one["port_id"] for one in made] == [scene.port, None, other]
    assert len({one["floating_ip_address"] for one in made}) == 3
    with refused("FloatingIPPortAlreadyAssociated"):
        world.create_many(
            FIPS, [{"floating_network_id": scene.outside, "port_id": world.port(scene.network)["id"]}] * 2
        )
    assert len(world.list(FIPS)) == 3


def test_filters(world: World, scene: Scene) -> None:
    made = create(world, scene, port_id=scene.port)
    create(world, scene)
    for query in ("port_id", "router_id", "fixed_ip_address", "floating_ip_address", "id"):
        assert [one["id"] for one in world.list(FIPS, f"{query}={made[query]}")] == [made["id"]]
    assert len(world.list(FIPS, "status=DOWN&floating_network_id=" + scene.outside)) == 2
