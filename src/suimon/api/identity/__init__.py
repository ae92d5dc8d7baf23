"""Keystone v3 under `/identity/v3`, as far as OpenStack's clients and a cloud network need it.

Requests come in through `service.IdentityService`; the acts are `suimon.resources.identity`. There is one domain, no
groups, no federation and no trusts; where a Keystone runs already, this package isn't needed.
"""
