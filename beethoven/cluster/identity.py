"""
Who this node is, for those of its processes that say so to others.

They are started with what the node was at its boot. Where it stands, and so its address, its labels
and its zone, may change later: then it is written down in the private folder of the tree, and they
begin anew. The identity of the boot stays what it was.
"""

import json
from pathlib import Path
from typing import Final

from beethoven.cluster.fields import record
from beethoven.cluster.link_messages import MemberRecord, member_to_record, record_to_member
from beethoven.cluster.member import Member
from beethoven.runtime.folder import write_whole

_FILE: Final = "identity.json"
_KIND: Final = record(MemberRecord)


def store(folder: str, member: Member) -> None:
    """
    Write down who the node is from now on.

    Args:
        folder: The private folder of the tree.
        member: The node.

    Raises:
        OSError: It cannot be written.
        ValueError: Others could not be told who that is.
    """
    told = json.loads(json.dumps(_KIND.write(member_to_record(member))))
    if record_to_member(_KIND.read(told)) != member:
        raise ValueError(f"expected a node that others can be told of, got: {member}")
    write_whole(Path(folder, _FILE), json.dumps(told).encode())


def current(folder: str, default: Member) -> Member:
    """
    Return who the node is now.

    Args:
        folder: The private folder of the tree.
        default: Who it was at its boot, and is if nothing else has been written down.
    """
    try:
        found = _KIND.read(json.loads(Path(folder, _FILE).read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return default
    member = record_to_member(found)
    return member if member.node_id == default.node_id else default
