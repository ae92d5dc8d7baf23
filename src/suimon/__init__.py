"""Suimon: a cloud network that runs itself."""
