"""What a node says of itself when it meets another."""

import secrets

from beethoven.cluster.member import Member
from beethoven.cluster.messages import NONCE_SIZE, PROTOCOL_MAX, PROTOCOL_MIN, Hello
from beethoven.vocabulary import VERSION


def hello_of(own: Member, cluster: str, purpose: str = "", target: str = "") -> Hello:
    """
    Return the hello of this node, for one connection: its nonce is new.

    Args:
        own: This node.
        cluster: The name of its cluster.
        purpose: What the connection is for, a `Purpose`.
        target: Whom it is to reach.
    """
    return Hello(
        cluster=cluster,
        protocol_min=PROTOCOL_MIN,
        protocol_max=PROTOCOL_MAX,
        node_id=own.node_id,
        name=own.name,
        incarnation=own.incarnation,
        address=str(own.address),
        nonce=secrets.token_bytes(NONCE_SIZE),
        version=VERSION,
        purpose=purpose,
        target=target,
    )
