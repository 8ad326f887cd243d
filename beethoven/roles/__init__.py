"""Ready-made roles: `TestRole` and `TestdRole` to try things out, `CommandRole` for any program."""

from beethoven.roles.command import CommandRole
from beethoven.roles.echo import TestdRole, TestRole

__all__ = ["CommandRole", "TestRole", "TestdRole"]
