"""The auto-allocated topology in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import things
from suimon.model.attributes import Attribute, Spec

AUTO_ALLOCATED_TOPOLOGY: Final = Spec(
    singular="auto_allocated_topology",
    plural="auto_allocated_topologies",
    path="auto-allocated-topology",
    type=things.AutoAllocatedTopology,
    attributes=(
        Attribute(name="id", field="network_id", post=False, put=False, filter=None),
        Attribute(name="project_id", field="project_id", post=False, put=False, filter=None),
    ),
)
