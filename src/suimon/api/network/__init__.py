"""Neutron v2.0 under `/v2.0`: one router for all resources, driven by `suimon.resources.registry`.

Nothing in here knows a resource by name but what clients read about the API itself: `extensions` and `documents`.
"""
