"""The flows of a provider bridge `br-<physnet>`: a wire between its uplink and br-int, which knows the networks and
their tags.
"""

from suimon.model.owner import Owner
from suimon.pipeline.flow import Flow, Output, flow
from suimon.pipeline.tables import Stage


def flows(physnet: str, uplink_ofport: int, patch_ofport: int) -> tuple[Flow, ...]:
    """Both directions. Frames of unknown networks are dropped by br-int."""
    owner = Owner("bridge", f"br-{physnet}")
    return (
        flow(Stage.CLASSIFY, 100, owner, {"in_port": uplink_ofport}, [Output(patch_ofport)]),
        flow(Stage.CLASSIFY, 100, owner, {"in_port": patch_ofport}, [Output(uplink_ofport)]),
    )
