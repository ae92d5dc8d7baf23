"""What hosts are told so that they can answer for names and instances."""

from pathlib import Path

from msgspec.structs import replace

from suimon.distribution.dispatch import Dispatcher
from suimon.model import view
from suimon.store.store import Store
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import put, put_port, settle, write


def test_names_and_whose_a_port_is_are_told_here_and_names_alone_there(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        port, witness = on(sub, "h1"), on(sub, "h2", 6)
        await put(store, net, sub, port, witness)
        await settle(store, dispatcher)
        here, there = await connected(dispatcher, "h1"), await connected(dispatcher, "h2")
        network = here.objects["network", net.id]
        assert isinstance(network, view.Network) and network.dns_domain == "openstacklocal."
        named = replace(port, dns_name="web", device_id="instance")
        await write(store, lambda tx: put_port(tx, port, named))
        await settle(store, dispatcher)
        await here.drain()
        await there.drain()
        mine, peer = here.objects["port", port.id], there.objects["peer", port.id]
        assert isinstance(mine, view.Port) and isinstance(peer, view.Peer)
        assert (mine.dns_name, mine.device_id, mine.project_id) == ("web", "instance", port.project_id)
        assert peer.name == "web"
        heard = len(there.frames)
        await write(store, lambda tx: put_port(tx, named, replace(named, device_id="another")))
        await settle(store, dispatcher)
        await there.drain()
        assert len(there.frames) == heard, "whose it is, is nothing to other hosts"

    with_dispatcher(tmp_path, body)
