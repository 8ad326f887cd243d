"""
Adoption: a process takes over the connection of a visitor, a caller on another node.

This node's beacon has authenticated the visitor. It calls the process as anybody does, but its
first message is ADOPT, and has the connection with it. How visitors are spoken with is not known
here: the facts of the tree name the module that knows, which is imported with the first visitor.
"""

from importlib import import_module
from typing import Final

from beethoven.log import get_log
from beethoven.runtime import framing
from beethoven.runtime.descriptors import adopt_socket, close_descriptor
from beethoven.runtime.here import here
from beethoven.runtime.reason import told_by

# The fact of the tree.
MODULE: Final = "visitors"

log = get_log("process")


def adopt(frames: list[framing.Frame], descriptor: int, host: object) -> None:
    """
    Take over what somebody has handed in; if it is no visitor's connection, close it.

    Args:
        frames: The first message of whoever has handed it in.
        descriptor: What came with it.
        host: The process that takes it over.
    """
    module = here.context.get(MODULE)
    if module is None or [kind for kind, _, _ in frames] != [framing.ADOPT]:
        close_descriptor(descriptor)
        log.warning("visitor_refused", cause="nothing of the kind was expected")
        return
    try:
        import_module(module).take(adopt_socket(descriptor), frames[0][2], host)
    except BaseException as error:
        # Also one that exits when it is unpickled ends nobody.
        log.warning("visitor_refused", cause=f"{type(error).__name__}: {told_by(error)}")
