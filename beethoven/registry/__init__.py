"""Registries: processes of a tree found by keys, with values, and locks by key."""
