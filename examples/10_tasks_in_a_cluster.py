"""Functions run on whichever node has time for them, and their results come back."""

from ensemble import Ensemble, say
from ensemble.primes import ponder, primes, stumble

from beethoven import NodeUp, Role
from beethoven.errors import NodeLost, TaskTimeout

ROLES = """
[roles.usher]
module = "example:Usher"
"""


class Usher(Role):
    watches_nodes = True

    def init(self, args: object) -> None:
        say(f"{self.node.name} is here")

    def handle_info(self, message: object) -> None:
        match message:
            case NodeUp(member):
                say(f"{member.name} is here")


if __name__ == "__main__":
    with Ensemble(ROLES) as ensemble:
        ensemble.start("clara")
        print(*ensemble.hear())
        ensemble.start("felix")
        print(*ensemble.hear())
        with ensemble.connect() as cluster:
            future = cluster.run(primes, range(10_000), where="felix")
            print(f"{future.result()} primes below 10000, says {future.node}")

            hundreds = [range(first, first + 100) for first in range(0, 1000, 100)]
            print(*cluster.map(primes, hundreds))

            try:
                cluster.run(stumble, 17, where="felix").result()
            except ArithmeticError as error:
                print(f"{error}; {error.__notes__[0].splitlines()[0]}")
            try:
                cluster.run(ponder, timeout=0.5).result()
            except TaskTimeout:
                print("it took too long, and was ended")

            future = cluster.run(ponder, where="felix")
            ensemble.kill("felix")
            try:
                future.result()
            except NodeLost:
                print("felix was lost")
