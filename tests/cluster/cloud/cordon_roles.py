"""Roles for tests of cordons."""

import threading

from beethoven import Role


class Thoughtful(Role):
    """Neither tells its state nor ends by itself."""

    trap_exit = True

    def snapshot(self):
        threading.Event().wait()

    def terminate(self, reason):
        threading.Event().wait()


class Stubborn(Role):
    """Never ends by itself."""

    trap_exit = True

    def terminate(self, reason):
        threading.Event().wait()
