"""How Azure's metadata service is used: `[azure]`. Values only."""

from dataclasses import dataclass

from beethoven.cloud.notice import NoticeKind


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Where a metadata service answers, by plain HTTP.

    Attributes:
        host: A numeric address of IPv4 or IPv6.
        port: Its TCP port.
    """

    host: str = "169.254.169.254"
    port: int = 80

    @property
    def authority(self) -> str:
        """Host and port, as HTTP writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.authority}"


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """
    `[azure]`: how Azure's metadata service is used.

    Attributes:
        endpoint: Where it answers.
        interface: The address or the MAC address of the interface that counts; empty leaves the
            choice to the node.
        acknowledge: The kinds of notices that are acknowledged once the node is empty.
        hand_over_within: How long a hand-over may take at most, in seconds > 0.
    """

    endpoint: Endpoint = Endpoint()
    interface: str = ""
    acknowledge: frozenset[NoticeKind] = frozenset(
        {NoticeKind.TERMINATE, NoticeKind.REDEPLOY, NoticeKind.REBOOT}
    )
    hand_over_within: float = 10.0
