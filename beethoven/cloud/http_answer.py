"""
Reads one answer of HTTP/1.1 from bytes, as they come. Pure.

Source:
    RFC 9112 §6 (how long a body is) and §7.1 (chunks).
"""

import re
from typing import Final

LARGEST_BODY: Final = 2**20
LARGEST_HEAD: Final = 2**16

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_LINE_END: Final = re.compile(rb"\r?\n")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_LINE: Final = 1024
_WITHOUT_BODY: Final = frozenset({204, 304})


class NoHttp(ValueError):
    """What has come is no answer; `str` says in words why."""


class AnswerReader:
    """
    One answer.

    Attributes:
        status: Its status; 0 as long as that is unknown.
        headers: By name in small letters; of those that come twice, the last.
        body: Without what was around it.
        is_complete: Whether all of it has come.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self._body = bytearray()
        self._rest = bytearray()
        # How many bytes of the body, or of the chunk, are still to come; None: until the end.
        self._missing: int | None = None
        self._is_chunked = False

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def receive(self, data: bytes) -> None:
        """
        Take the next bytes.

        Raises:
            NoHttp: They do not belong to an answer, or to one that is too large.
        """
        self._rest += data
        while not self.status:
            if not self._read_head():
                return
        if self._is_chunked:
            self._read_chunks()
        else:
            self._read_plain()

    def end(self) -> None:
        """
        Note that nothing more will come.

        Raises:
            NoHttp: The answer is not complete.
        """
        if not self.status:
            raise NoHttp("the answer ended before its headers did" if self._rest else "no answer")
        if not self.is_complete and (self._is_chunked or self._missing is not None):
            raise NoHttp(f"the answer ended too early, after {len(self._body)} bytes")
        self.is_complete = True

    def _read_head(self) -> bool:
        """Return whether a head has come, which need not be that of the final answer."""
        found = _HEAD_END.search(self._rest)
        if (found.end() if found else len(self._rest)) > LARGEST_HEAD:
            raise NoHttp(f"its headers are longer than {LARGEST_HEAD} bytes")
        if not found:
            if not b"HTTP/".startswith(self._rest[:5]) and not self._rest.startswith(b"HTTP/"):
                raise NoHttp("it is no HTTP")
            return False
        first, *lines = _LINE_END.split(bytes(self._rest[: found.start()]))
        del self._rest[: found.end()]
        match = _STATUS.fullmatch(first)
        if match is None:
            raise NoHttp("it is no HTTP")
        status = int(match[1])
        if 100 <= status < 200:
            return True
        self.headers = dict(_header(line) for line in lines)
        self._measure(status)
        self.status = status
        return True

    def _measure(self, status: int) -> None:
        """Find out how long the body is."""
        coding = self.headers.get("transfer-encoding", "")
        length = self.headers.get("content-length")
        if coding:
            if coding.strip().lower() != "chunked":
                raise NoHttp("its transfer encoding is unknown")
            self._is_chunked = True
        elif length is not None:
            if not re.fullmatch("[0-9]{1,18}", length):
                raise NoHttp("its length is no number")
            self._missing = int(length)
            _check_size(self._missing)
        if status in _WITHOUT_BODY:
            self._is_chunked, self._missing = False, 0

    def _read_plain(self) -> None:
        size = len(self._rest) if self._missing is None else self._missing
        part = self._rest[:size]
        self._body += part
        _check_size(len(self._body))
        self._rest.clear()
        if self._missing is not None:
            self._missing -= len(part)
            self.is_complete = self._missing == 0

    def _read_chunks(self) -> None:
        while not self.is_complete:
            if self._missing is None:
                line = self._line()
                if line is None:
                    return
                self._begin_chunk(line)
            elif self._missing:
                part = self._rest[: self._missing]
                del self._rest[: len(part)]
                self._body += part
                self._missing -= len(part)
                if not part:
                    return
            else:
                line = self._line()
                if line is None:
                    return
                if line:
                    raise NoHttp("a chunk of it is longer than it says")
                self._missing = None

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise NoHttp("a chunk of it has no size")
        self._missing = int(match[1], 16)
        _check_size(len(self._body) + self._missing)
        # What may follow the last chunk says nothing of the body.
        self.is_complete = self._missing == 0

    def _line(self) -> bytes | None:
        """Return the next line, without its end; None if it has not come yet."""
        found = _LINE_END.search(self._rest)
        if (found.start() if found else len(self._rest)) > _LONGEST_LINE:
            raise NoHttp(f"a chunk of it has a line longer than {_LONGEST_LINE} bytes")
        if found is None:
            return None
        line = bytes(self._rest[: found.start()])
        del self._rest[: found.end()]
        return line


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise NoHttp("a header of it is none")
    return name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")


def _check_size(size: int) -> None:
    if size > LARGEST_BODY:
        raise NoHttp(f"it is larger than {LARGEST_BODY} bytes")
