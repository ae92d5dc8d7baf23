"""What was dropped of a port's packets is asked of its host, for operators and whoever owns the port."""

from suimon.api.gate import Gate
from suimon.api.operations.service import OperationsService
from suimon.model.questions import CountDrops, Traced
from tests.api.cloud import Cloud


class Hosts:
    """Answers as a host would, with a reason that nobody knows and one that did not occur."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error = ""

    async def ask(self, host: str, question: CountDrops) -> Traced:
        self.asked.append((host, question.port_id))
        counted = {"spoofed": 7, "ingress_rules": 0, "egress_rules": 2, "\x1b[31m": 9}
        return Traced("", error=self.error, drops=counted, connections=(3, 20))


def test_an_owner_is_told_his_own_and_no_host(cloud: Cloud) -> None:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    hosts = Hosts()
    cloud.services["operations"] = OperationsService(Gate(cloud.store, cloud.clock), cloud.states, hosts)
    network = cloud.call("POST", "/v2.0/networks", {"network": {}}, anna.token).json["network"]["id"]
    port = cloud.call("POST", "/v2.0/ports", {"port": {"network_id": network}}, anna.token).json["port"]["id"]
    path = f"/operations/v1/ports/{port}/drops"
    assert "bound to no host" in cloud.call("GET", path, token=anna.token).json["drops"]["unknown"]
    assert not hosts.asked
    cloud.call("PUT", f"/v2.0/ports/{port}", {"port": {"binding:host_id": "secret-host"}}, cloud.admin.token)
    told = cloud.call("GET", path, token=anna.token).json["drops"]
    assert [(each["reason"], each["packets"]) for each in told["counted"]] == [("spoofed", 7), ("egress_rules", 2)]
    assert told["connections"] == {"now": 3, "most": 20}
    assert hosts.asked == [("secret-host", port)] and told["unknown"] == ""
    hosts.error = "secret-host is away"
    said = cloud.call("GET", path, token=anna.token)
    assert said.json["drops"]["unknown"] and b"secret-host" not in said.body
    assert b"secret-host" in cloud.call("GET", path, token=cloud.admin.token).body
    assert cloud.call("GET", path, token=bert.token).status == 404 and len(hosts.asked) == 3
    statuses = [cloud.call("GET", path, token=anna.token).status for _ in range(10)]
    assert statuses[0] == 200 and statuses[-1] == 429, "of tenants a few a minute"
    assert cloud.call("GET", path, token=bert.token).status == 404, "which others don't feel"
