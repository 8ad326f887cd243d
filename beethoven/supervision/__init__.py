"""Supervision: child specifications, restart policy, and the supervisors that apply it."""
