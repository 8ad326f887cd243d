"""
Waiting for many sockets at once: a callback for each, level-triggered.

Thinner than `selectors`: a call costs one dictionary look-up per ready socket.
"""

import select
from collections.abc import Callable
from typing import Final, Protocol

Callback = Callable[[], object]

# Longer waits do not fit into what the kernel takes; whoever waits looks at the clock afterwards.
_LONGEST_WAIT: Final = 86_400.0

# So many are handled before the kernel is asked again.
_MOST: Final = 64

_READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE: Final = select.POLLOUT
_NOT_READ: Final = ~select.POLLIN


class HasFileno(Protocol):
    """Anything with a file descriptor."""

    def fileno(self) -> int: ...


class Poller:
    """Watch file descriptors and run the callback of each that is ready."""

    def __init__(self) -> None:
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._poll: _Waiter = _EpollOrPoll()
        self._wait = self._poll.wait

    def fileno(self) -> int:
        """Return a descriptor that is readable when a callback is due, or -1 if there is none."""
        return self._poll.fileno()

    def register(self, source: HasFileno, on_readable: Callback) -> None:
        """Run `on_readable` whenever `source` can be read, or is at its end."""
        self._readers[source.fileno()] = on_readable
        self._update(source.fileno())

    def register_writer(self, source: HasFileno, on_writable: Callback) -> None:
        """Run `on_writable` whenever `source` can be written."""
        self._writers[source.fileno()] = on_writable
        self._update(source.fileno())

    def unregister_reader(self, source: HasFileno) -> None:
        """Stop reading from `source` for now."""
        self._readers.pop(source.fileno(), None)
        self._update(source.fileno())

    def unregister_writer(self, source: HasFileno) -> None:
        """Stop waiting until `source` can be written."""
        self._writers.pop(source.fileno(), None)
        self._update(source.fileno())

    def unregister(self, source: HasFileno) -> None:
        """Forget `source`. Call this before closing it."""
        self._readers.pop(source.fileno(), None)
        self._writers.pop(source.fileno(), None)
        self._update(source.fileno())

    def _update(self, descriptor: int) -> None:
        mask = 0
        if descriptor in self._readers:
            mask |= _READ
        if descriptor in self._writers:
            mask |= _WRITE
        self._poll.set(descriptor, mask)

    def poll(self, timeout: float | None) -> bool:
        """
        Wait for the first that is ready, then run the callbacks of all that are.

        Args:
            timeout: Seconds to wait at most, and never more than a day; None waits for ever, 0 or
                less does not wait.

        Returns:
            Whether any was ready.
        """
        if timeout is not None:
            timeout = min(max(timeout, 0.0), _LONGEST_WAIT)
        ready = self._wait(timeout, _MOST)
        for descriptor, mask in ready:
            # A callback may have unregistered the next one.
            if mask & _READ and (callback := self._readers.get(descriptor)) is not None:
                callback()
            if mask & _NOT_READ and (callback := self._writers.get(descriptor)) is not None:
                callback()
        return bool(ready)

    def close(self) -> None:
        """Close what the poller itself holds."""
        self._poll.close()


class Unwatched(Poller):
    """A poller that watches nothing, for sockets that are looked at only when somebody asks."""

    def __init__(self) -> None:
        self._poll = _Nothing()
        self._wait = self._poll.wait
        self._readers, self._writers = {}, {}


class _Waiter(Protocol):
    def fileno(self) -> int: ...
    def set(self, descriptor: int, mask: int) -> None: ...
    @property
    def wait(self) -> Callable[[float | None, int], list[tuple[int, int]]]: ...
    def close(self) -> None: ...


class _Nothing:
    """The waiter that never sees anything."""

    def fileno(self) -> int:
        return -1

    def set(self, descriptor: int, mask: int) -> None:
        """Do not watch."""

    def wait(self, timeout: float | None, most: int) -> list[tuple[int, int]]:
        return []

    def close(self) -> None:
        """Hold nothing."""


class _EpollOrPoll:
    """`epoll` where there is one, else `poll`, behind the same three calls."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._plain = select.poll() if self._epoll is None else None
        self.wait = self._wait_plainly if self._epoll is None else self._epoll.poll

    def fileno(self) -> int:
        return self._epoll.fileno() if self._epoll is not None else -1

    def set(self, descriptor: int, mask: int) -> None:
        known = self._masks.get(descriptor)
        poll = self._epoll or self._plain
        assert poll is not None
        if mask and known is None:
            poll.register(descriptor, mask)
        elif mask and known != mask:
            poll.modify(descriptor, mask)
        elif not mask and known is not None:
            poll.unregister(descriptor)
        if mask:
            self._masks[descriptor] = mask
        else:
            self._masks.pop(descriptor, None)

    def _wait_plainly(self, timeout: float | None, most: int) -> list[tuple[int, int]]:
        assert self._plain is not None
        return self._plain.poll(None if timeout is None else timeout * 1000)

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
