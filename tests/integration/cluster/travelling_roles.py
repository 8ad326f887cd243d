"""Roles that hand out fronts and references, for tests of what arrives in programs."""

from typing import Any

from beethoven import Role, connect, on


class Post(Role):
    """Tells where it is, and who others are."""

    @on.call
    def where(self) -> str:
        return str(self.node.name)

    @on.call
    def front_of(self, role: str) -> Any:
        return self.node.role(role, Post)

    @on.call
    def ref_of(self, role: str) -> Any:
        return self.node.ref(role)

    @on.call
    def ask(self, front: "Post") -> str:
        return front.where()

    @on.call
    def send(self, role: str, front_of: str) -> str:
        """Have another role ask by a front that it gets from here."""
        told: str = self.node.role(role, Post).ask(self.node.role(front_of, Post))
        return told

    @on.call
    def ask_by_connection(self, role: str) -> list[str]:
        return ask_by_connection(role)


def ask_by_connection(role: str) -> list[str]:
    """Return by which node `connect` goes in this process, and where a role is."""
    with connect() as cluster:
        return [cluster.way.node, cluster.role(role, Post).where()]


def same(value: Any) -> Any:
    """Return the value."""
    return value
