"""A dynamic supervisor is given its children at run time, one for each piece of work."""

from typing import Any

from beethoven import Caller, ChildSpec, DynamicSupervisor, Role
from beethoven.errors import MaxChildren


class Player(Role):
    def init(self, args: str) -> None:
        self.instrument = args

    def handle_call(self, request: Any, caller: Caller) -> str:
        return f"the {self.instrument} plays {request}"


if __name__ == "__main__":
    with DynamicSupervisor.start_link(max_children=3) as orchestra:
        players = {}
        for instrument in ("violin", "viola", "cello"):
            spec = ChildSpec(instrument, Player, instrument, restart="temporary")
            players[instrument] = orchestra.start_child(spec)
        print("players:", orchestra.count_children().active)
        for player in players.values():
            assert player is not None
            print(player.call("the fifth"))
        try:
            orchestra.start_child(ChildSpec("flute", Player, "flute"))
        except MaxChildren as error:
            print("no flute:", error)
        orchestra.terminate_child("viola")
        print("left:", ", ".join(sorted(entry.id for entry in orchestra.which_children())))
