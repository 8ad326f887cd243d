"""
Kill every process of a node in turn, and check that what Beethoven promises holds throughout.

P1: all that was killed comes back. P2: nothing of a dead subtree is left after one second, unless
more is given. P3: never are there two instances of a role at once. The roles write down their lives
(`chaos_role.py`), and a lock that the system itself lets go at their end proves it. Prints a
summary as JSON; exits 1 if anything was violated. The same seed gives the same order of kills.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

SCRIPTS: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS.parent))

from beethoven import clock  # noqa: E402 (the checkout has to be found first)
from beethoven.errors import BeethovenError  # noqa: E402
from beethoven.node.control import NodeClient  # noqa: E402
from scripts.ports import free_port  # noqa: E402

NODE: Final = "chaos"
ROLES: Final = ("alpha", "beta", "gamma")
PROGRAM: Final = "program"
TOKEN: Final = "BEETHOVEN_CHAOS"

# P2, in seconds, unless more is given.
GONE_WITHIN: Final = 1.0
# A bound that is never reached but by a defect.
BACK_WITHIN: Final = 20.0


class Violation(Exception):
    """A promise was broken, and it makes no sense to go on."""


class Line(NamedTuple):
    """A line of the diary."""

    word: str
    node: str
    role: str
    pid: int
    at: float


@dataclass
class Tally:
    """What has happened so far."""

    kills: Counter[str] = field(default_factory=Counter)
    slowest_end: dict[str, float] = field(default_factory=dict)
    slowest_return: dict[str, float] = field(default_factory=dict)
    killed_at: dict[int, float] = field(default_factory=dict)
    lives: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def wait_until(condition: Callable[[], object], timeout: float) -> bool:
    """Return whether a condition holds within so many seconds."""
    deadline = clock.monotonic() + timeout
    while not condition():
        if clock.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Chaos:
    """One node, and what is done to it."""

    def __init__(self, folder: Path, seed: int, gone_within: float) -> None:
        self.folder = folder
        self.gone_within = gone_within
        self.tally = Tally()
        self._random = random.Random(seed)
        self._config = folder / "app.toml"
        self._config.write_text(self._configuration(), "utf-8")
        self._environ = {
            **os.environ,
            TOKEN: secrets.token_hex(8),
            # It meets no other node, and its cookie and its memory go with the folder.
            "BEETHOVEN_LISTENER_PORT": str(free_port()),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "home"),
            "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)]),
        }
        self._log = (folder / "log").open("ab")
        self.root = self._start()

    def _configuration(self) -> str:
        roles = [
            f'[roles.{role}]\nmodule = "chaos_role:Instance"\nmax_restarts = 1000000\n'
            f'args = {{ folder = "{self.folder}", node = "{NODE}", role = "{role}" }}\n'
            for role in ROLES
        ]
        command = [
            sys.executable,
            str(SCRIPTS / "chaos_role.py"),
            str(self.folder),
            NODE,
            PROGRAM,
        ]
        program = f"[roles.{PROGRAM}]\ncommand = {json.dumps(command)}\nmax_restarts = 1000000\n"
        return "\n".join([*roles, program])

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "beethoven", "run", str(self._config), "--name", NODE]
        self.tally.lives.update([*ROLES, PROGRAM])
        return subprocess.Popen(command, stdout=self._log, stderr=self._log, env=self._environ)

    @property
    def client(self) -> NodeClient:
        return NodeClient.find(NODE)

    def roles(self) -> dict[str, int]:
        """Return the pids of the roles that run."""
        try:
            roles = self.client.status()["roles"]
        except BeethovenError:
            return {}
        instances = {role["name"]: role["instances"] for role in roles}
        return {
            name: found[0]["pid"]
            for name, found in instances.items()
            if found and found[0]["state"] == "running"
        }

    def diary(self) -> list[Line]:
        try:
            text = (self.folder / "diary").read_text("utf-8")
        except FileNotFoundError:
            return []
        fields = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return [Line(w, node, role, int(pid), float(at)) for w, node, role, pid, at in fields]

    def starts(self) -> Counter[str]:
        return Counter(line.role for line in self.diary() if line.word == "start")

    def await_all(self) -> dict[str, int]:
        """Wait until every role runs, and each has begun as many lives as it must; return pids."""
        back: dict[str, int] = {}

        def are_back() -> bool:
            back.clear()
            back.update(self.roles())
            # Who has just been killed may still be told of.
            lives = {line.role: line.pid for line in self.diary() if line.word == "start"}
            run = len(back) == len(ROLES) + 1 and all(back[role] == lives[role] for role in ROLES)
            return run and self.starts() >= self.tally.lives

        if not wait_until(are_back, BACK_WITHIN):
            missing = self.tally.lives - self.starts()
            raise Violation(f"P1: not back within {BACK_WITHIN} s: {dict(missing)}, {back}")
        return back

    def program(self) -> int:
        """Return the pid of the program itself."""
        return max((line for line in self.diary() if line.role == PROGRAM), key=_at).pid

    def fork_server(self) -> int:
        """Return the pid of a fork server that lives, the root's if it is that one."""
        children = psutil.Process(self.root.pid).children(recursive=True)
        for child in sorted(children, key=psutil.Process.create_time):
            with contextlib.suppress(psutil.Error):
                # Its children are copies of it, each in a session of its own; they have names.
                is_server = any("runtime.forkserver" in word for word in child.cmdline())
                if is_server and child.pid not in self._named():
                    return int(child.pid)
        raise Violation("no fork server lives")

    def _named(self) -> set[int]:
        named = set(self.roles().values())
        for component in self.components():
            with contextlib.suppress(BeethovenError):
                named.add(self.client.process(f"beethoven.{component}").pid)
        return named

    def components(self) -> list[str]:
        """Return the parts of the node that the root looks after."""
        return [child["id"] for child in self.client.tree()["children"]]

    def round(self) -> None:
        """Kill every process once, the root last."""
        self.await_all()
        victims = [*ROLES, PROGRAM, "the program", "fork server", *self.components()]
        self._random.shuffle(victims)
        for victim in [*victims, "root"]:
            self.strike(victim)

    def strike(self, victim: str) -> None:
        """Kill one process, and see to it that all goes as promised."""
        before = self.await_all()
        pid = self._pid_of(victim, before)
        doomed, dying_roles = self._doomed(victim, pid, before)
        self.tally.kills[victim] += 1
        at = clock.monotonic()
        for each in doomed:
            self.tally.killed_at[each.pid] = at
        os.kill(pid, signal.SIGKILL)
        if victim == "root":
            self.root.wait()
            self.root = self._start()
        else:
            self.tally.lives.update(dying_roles)
        if not wait_until(lambda: not any(map(is_alive, doomed)), self.gone_within):
            left = [each.pid for each in doomed if is_alive(each)]
            late = f"P2: {victim} killed, after {self.gone_within} s left: {left}"
            self.tally.violations.append(late)
        _keep_slowest(self.tally.slowest_end, victim, clock.monotonic() - at)
        after = self.await_all()
        _keep_slowest(self.tally.slowest_return, victim, clock.monotonic() - at)
        disturbed = {role for role in before if before[role] != after[role]}
        if victim != "root" and disturbed - set(dying_roles):
            self.tally.violations.append(f"P1: {victim} killed, also disturbed: {disturbed}")

    def _pid_of(self, victim: str, roles: dict[str, int]) -> int:
        match victim:
            case "root":
                return self.root.pid
            case "fork server":
                return self.fork_server()
            case "the program":
                return self.program()
        return roles[victim] if victim in roles else self.component(victim)

    def component(self, name: str) -> int:
        """Return the pid of a part of the node, once it is back."""
        found: list[int] = []

        def is_back() -> bool:
            with contextlib.suppress(BeethovenError):
                found[:] = [self.client.process(f"beethoven.{name}").pid]
            return bool(found)

        if not wait_until(is_back, BACK_WITHIN):
            raise Violation(f"P1: {name} is not back within {BACK_WITHIN} s")
        return found[0]

    def _doomed(
        self, victim: str, pid: int, roles: dict[str, int]
    ) -> tuple[list[psutil.Process], list[str]]:
        """Return the processes that must be gone, and the roles that lose a life."""
        everything = [*ROLES, PROGRAM]
        match victim:
            case "root":
                process = psutil.Process(pid)
                return [process, *process.children(recursive=True)], everything
            case "role_supervisor":
                pids, dying = [pid, *roles.values(), self.program()], everything
            case "the program":
                pids, dying = [pid, roles[PROGRAM]], [PROGRAM]
            case _ if victim in everything:
                pids, dying = [pid], [victim]
            case _:
                return [psutil.Process(pid)], []
        doomed: list[psutil.Process] = []
        for each in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(each)
                doomed += [process, *process.children(recursive=True)]
        return doomed, dying

    def check_lives(self) -> None:
        """Find roles that had two instances at once, and lives that nobody asked for."""
        lines = self.diary()
        found = self.tally.violations
        found += [f"P3: two instances at once: {line}" for line in lines if line.word == "overlap"]
        stops = {line.pid: line.at for line in lines if line.word == "stop"}
        for role in (*ROLES, PROGRAM):
            lives = [line for line in lines if (line.word, line.role) == ("start", role)]
            starts = sorted(lives, key=_at)
            for one, next_one in itertools.pairwise(starts):
                end = stops.get(one.pid, self.tally.killed_at.get(one.pid))
                if end is None or end > next_one.at:
                    found.append(f"P3: {role}: {one.pid} ended at {end}, next began {next_one.at}")
        if self.starts() != self.tally.lives:
            extra = self.starts() - self.tally.lives
            found.append(
                f"P1: expected lives {dict(self.tally.lives)}, found too many: {dict(extra)}"
            )

    def finish(self) -> None:
        """Stop the node in good order, and see what it leaves."""
        self.root.send_signal(signal.SIGTERM)
        try:
            code = self.root.wait(BACK_WITHIN)
        except subprocess.TimeoutExpired:
            raise Violation("the node did not stop") from None
        if code != 0:
            self.tally.violations.append(f"the node stopped with exit code {code}")
        if not wait_until(lambda: not self.strays(), self.gone_within):
            self.tally.violations.append(f"P2: left behind: {self.strays()}")
        base = Path(os.environ["BEETHOVEN_RUNTIME_DIR"])
        if left := [path.name for path in base.iterdir() if path.name != "lock"]:
            self.tally.violations.append(f"files left behind: {left}")

    def strays(self) -> list[psutil.Process]:
        """Return every process that this run has started, at any depth, and that lives."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(TOKEN) == self._environ[TOKEN] and is_alive(process):
                    found.append(process)
        return found

    def clean_up(self) -> None:
        """Leave nothing, whatever happened."""
        self.root.kill()
        self.root.wait()
        self._log.close()
        wait_until(lambda: not self.strays(), self.gone_within)
        for process in self.strays():
            process.kill()


def _at(line: Line) -> float:
    return line.at


def _keep_slowest(slowest: dict[str, float], victim: str, seconds: float) -> None:
    slowest[victim] = round(max(seconds, slowest.get(victim, 0.0)), 3)


def run(rounds: int, seed: int, gone_within: float) -> dict[str, Any]:
    """Return the summary of so many rounds."""
    # The address of a socket has little room.
    folder = Path(tempfile.mkdtemp(prefix="chaos", dir="/tmp"))
    os.environ["BEETHOVEN_RUNTIME_DIR"] = str(folder / "run")
    began = clock.monotonic()
    chaos = Chaos(folder, seed, gone_within)
    tally = chaos.tally
    done = 0
    try:
        for _ in range(rounds):
            chaos.round()
            done += 1
        chaos.await_all()
        chaos.finish()
    except Violation as violation:
        tally.violations.append(str(violation))
    finally:
        chaos.clean_up()
        chaos.check_lives()
        if tally.violations:
            log = (folder / "log").read_text("utf-8", errors="replace").splitlines()
            print("\n".join(log[-40:]), file=sys.stderr)
        shutil.rmtree(folder)
    return {
        "rounds": done,
        "seed": seed,
        "kills": dict(tally.kills),
        "lives": dict(tally.lives),
        "slowest_end": tally.slowest_end,
        "slowest_return": tally.slowest_return,
        "seconds": round(clock.monotonic() - began, 1),
        "violations": tally.violations,
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often (default: 20)")
    parser.add_argument("--smoke", action="store_true", help="two rounds")
    parser.add_argument(
        "--seed", type=int, help="of the order of kills (default: another each time)"
    )
    parser.add_argument(
        "--gone-within",
        type=float,
        default=GONE_WITHIN,
        help=f"seconds until nothing is left of what was killed (default: {GONE_WITHIN:g})",
    )
    parser.add_argument(
        "--simulated", action="store_true", help="whole clusters in virtual time instead"
    )
    parser.add_argument("--seeds", type=int, default=50_000, help="how many (default: 50000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    options = parser.parse_args()
    if options.simulated:
        from scripts import chaos_simulated

        summary = chaos_simulated.run(options.first, options.seeds)
    else:
        seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
        summary = run(2 if options.smoke else options.rounds, seed, options.gone_within)
    print(json.dumps(summary, indent=2))
    return 1 if summary["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
