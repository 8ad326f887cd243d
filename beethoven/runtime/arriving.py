"""What is being unpickled: who has sent it, for what has to know by which way it has come."""

import threading

from beethoven.runtime.line import Target


class _Arriving(threading.local):
    """
    The reply that this thread is reading.

    Attributes:
        source: Who has sent it; None while the thread reads none.
    """

    source: Target | None = None


arriving = _Arriving()
