"""
One request as it comes in: bytes in, and whether it is complete (RFC 9112, sections 2 to 7).

Arithmetic alone, for whoever reads from the socket: nothing here waits. What is wrong with a head
is said by the parser that answers it; here it only has to be clear where a request ends.
"""

import enum
import io
import re
from typing import Any

from cheroot import errors, server

from saltapi.config import KIB
from saltapi.errors import BadRequest, BodyTooLarge

HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
END_OF_HEAD = b"\r\n\r\n"

HEADER_LIMIT_BYTES = 64 * KIB
HEADERS_LIMIT = 200
CHUNK_LINE_LIMIT_BYTES = 4 * KIB
TRAILER_LIMIT_BYTES = 8 * KIB
CHUNK_FRAMING_BYTES = 16 * KIB
"""So much, and a quarter of the body, may the sizes, extensions and ends of its chunks take: each
chunk costs time, and those of one byte cost more than anything else that a stranger can send."""
CHUNK_FRAMING_SHARE = 4

ONCE = {b"Content-Length", b"Content-Type", b"Host", b"Idempotency-Key", b"X-Auth-Token"}
"""Headers that have one value, or the request means different things to different readers."""


class HeaderReader(server.HeaderReader):
    """Reads the headers of a request."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """
        Return the headers in *rfile*, added to *hdict*.

        Names with an underscore are left out: in WSGI they look like those with a hyphen.

        Raises:
            ValueError: They are malformed, or do not say clearly how long the body is.
            MaxSizeExceeded: There are too many.
        """
        headers = {} if hdict is None else hdict
        count = 0
        while (line := rfile.readline()) != b"\r\n":
            count += 1
            if count > HEADERS_LIMIT:
                raise errors.MaxSizeExceeded
            name, colon, value = line.removesuffix(b"\r\n").partition(b":")
            value = value.strip(b" \t")
            if not (
                line.endswith(b"\r\n")
                and colon
                and HEADER_NAME.fullmatch(name)
                and HEADER_VALUE.fullmatch(value)
            ):
                raise ValueError("A header is malformed.")
            name = name.title()
            if b"_" in name:
                continue
            if name in headers and name in ONCE:
                raise ValueError(f"The header {name.decode()} is there twice.")
            if name in headers:
                separator = b"; " if name == b"Cookie" else b", "
                value = headers[name] + separator + value
            headers[name] = value
        length = headers.get(b"Content-Length")
        if length is not None and not CONTENT_LENGTH.fullmatch(length):
            raise ValueError("Content-Length is no number.")
        if length is not None and b"Transfer-Encoding" in headers:
            raise ValueError("Content-Length and Transfer-Encoding exclude each other.")
        return headers


class Stage(enum.Enum):
    """How far a request has come."""

    HEAD = enum.auto()
    BODY = enum.auto()
    OVER_LIMIT = enum.auto()
    """Its body is longer than the limit, and nobody has said yet whether it may be."""
    DONE = enum.auto()
    """It can be answered: it is complete, or will never be."""


class Body(io.BytesIO):
    """The body of a request; reading to its end fails where that is not the end."""

    def __init__(self, content: bytearray, problem: Exception | None) -> None:
        """
        Args:
            content: What has come of it.
            problem: Why that is not all; None if it is.
        """
        super().__init__(content)
        self._size_bytes = len(content)
        self._problem = problem

    def read(self, size: int | None = -1) -> bytes:
        """
        Return so many bytes, or what is left.

        Raises:
            BodyTooLarge, BadRequest, ValueError: It is not all there.
        """
        return self._checked(super().read(size))

    def readline(self, size: int | None = -1) -> bytes:
        """Same as `read`, up to the end of the line."""
        return self._checked(super().readline(size))

    def _checked(self, data: bytes) -> bytes:
        if self._problem is not None and self.tell() == self._size_bytes:
            raise self._problem
        return data


class Incoming:
    """A request that begins with the next byte."""

    def __init__(self, limit_bytes: int) -> None:
        """
        Args:
            limit_bytes: How long its body may be, for the time being.
        """
        self.stage = Stage.HEAD
        self.head = b""
        self.expects_continue = False
        """Whether the client waits for a 100 before it sends the body."""
        self.problem: Exception | None = None
        """Why the body is not complete, and will not be."""
        self._limit_bytes = limit_bytes
        self._content = bytearray()
        self._searched = 0
        self._length_bytes: int | None = None
        self._chunks: _Chunks | None = None

    @property
    def body(self) -> Body:
        """What the application reads."""
        return Body(self._content, self.problem)

    def take(self, buffer: bytearray) -> Stage:
        """Take what belongs to the request out of *buffer*, and return how far it has come."""
        if self.stage is Stage.HEAD:
            self._take_head(buffer)
        if self.stage is Stage.BODY:
            self._take_body(buffer)
        return self.stage

    def end(self, buffer: bytearray) -> None:
        """Note that nothing will come behind what is in *buffer*."""
        if self.stage is Stage.HEAD:
            self.head, buffer[:] = bytes(buffer), b""
        if self._length_bytes:
            self._fail(BadRequest("The body is shorter than its Content-Length."))
        else:
            self._fail(ValueError("The request is cut short."))

    def decide(self, limit_bytes: int, sentence: str) -> None:
        """Go on from `OVER_LIMIT` with the limit that counts; *sentence* is for who is over it."""
        self._limit_bytes = limit_bytes
        size_bytes = self._length_bytes or 0
        if self._chunks is not None:
            size_bytes = len(self._content) + self._chunks.left_bytes
        if size_bytes > limit_bytes:
            self._fail(BodyTooLarge(sentence))
        else:
            self.stage = Stage.BODY

    def _take_head(self, buffer: bytearray) -> None:
        begin = max(0, self._searched - len(END_OF_HEAD) + 1)
        self._searched = len(buffer)
        end = buffer.find(END_OF_HEAD, begin)
        bare = BARE_LINE_FEED.search(buffer, begin, end if end >= 0 else len(buffer))
        if bare is not None or (end < 0 and len(buffer) > HEADER_LIMIT_BYTES):
            self.end(buffer)
        elif end >= 0:
            size = end + len(END_OF_HEAD)
            self.head = bytes(buffer[:size])
            del buffer[:size]
            self._find_end()

    def _find_end(self) -> None:
        """Find out from the head where the request ends."""
        lines = io.BytesIO(self.head)
        first = lines.readline()
        if first == b"\r\n":  # one empty line may come before a request
            first = lines.readline()
        try:
            headers = HeaderReader()(lines)
        except (ValueError, errors.MaxSizeExceeded) as error:
            self._fail(error)
            return
        is_current = first.endswith(b" HTTP/1.1\r\n")
        expected = headers.get(b"Expect", b"").lower() == b"100-continue"
        self.expects_continue = is_current and expected
        coding = headers.get(b"Transfer-Encoding")
        self._length_bytes = int(headers.get(b"Content-Length", b"0"))
        if coding is not None and is_current and coding.lower() == b"chunked":
            self._chunks = _Chunks()
            self.stage = Stage.BODY
        elif coding is not None:
            self._fail(ValueError("Transfer-Encoding can only be chunked."))
        elif not self._length_bytes:
            self.stage = Stage.DONE
        elif self._length_bytes > self._limit_bytes:
            self.stage = Stage.OVER_LIMIT
        else:
            self.stage = Stage.BODY

    def _take_body(self, buffer: bytearray) -> None:
        if self._chunks is None:
            size = self._length_bytes or 0
            if len(buffer) >= size:
                self._content = buffer[:size]
                del buffer[:size]
                self.stage = Stage.DONE
            return
        try:
            self.stage = self._chunks.take(buffer, self._content, self._limit_bytes)
        except ValueError as error:
            self._fail(error)

    def _fail(self, problem: Exception) -> None:
        self.problem = problem
        self.stage = Stage.DONE


class _Chunks:
    """The chunks of one body, taken apart as they come; of their framing nothing is kept."""

    def __init__(self) -> None:
        self.left_bytes = 0
        """What is missing of the chunk whose size has come."""
        self._framing_bytes = 0
        self._in_chunk = False
        self._trailer_bytes: int | None = None

    def take(self, buffer: bytearray, content: bytearray, limit_bytes: int) -> Stage:
        """
        Move what is the body's from *buffer* to *content*.

        Raises:
            ValueError: It is malformed.
        """
        while True:
            if self._trailer_bytes is not None:
                return self._skip_trailers(buffer)
            if not self._in_chunk and not self._begin_chunk(buffer):
                return Stage.BODY
            if len(content) + self.left_bytes > limit_bytes:
                return Stage.OVER_LIMIT
            size_bytes = len(content) + self.left_bytes
            if self._framing_bytes > CHUNK_FRAMING_BYTES + size_bytes // CHUNK_FRAMING_SHARE:
                raise ValueError("The chunks are more than what is in them.")
            if self._trailer_bytes is None and not self._take_chunk(buffer, content):
                return Stage.BODY

    def _begin_chunk(self, buffer: bytearray) -> bool:
        """Return whether the size of the next chunk has come."""
        line = _line(buffer, CHUNK_LINE_LIMIT_BYTES)
        if line is None:
            return False
        size = CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise ValueError("The size of a chunk is malformed.")
        self.left_bytes = int(size[1], 16)
        self._framing_bytes += len(line) + 2
        self._in_chunk = self.left_bytes > 0
        if not self._in_chunk:
            self._trailer_bytes = 0
        return True

    def _take_chunk(self, buffer: bytearray, content: bytearray) -> bool:
        """Return whether the chunk has come to its end."""
        part = buffer[: self.left_bytes]
        content += part
        del buffer[: len(part)]
        self.left_bytes -= len(part)
        if self.left_bytes or len(buffer) < len(b"\r\n"):
            return False
        if not buffer.startswith(b"\r\n"):
            raise ValueError("A chunk is longer than its size.")
        del buffer[: len(b"\r\n")]
        self._in_chunk = False
        return True

    def _skip_trailers(self, buffer: bytearray) -> Stage:
        while (line := _line(buffer, TRAILER_LIMIT_BYTES)) is not None:
            self._trailer_bytes = (self._trailer_bytes or 0) + len(line)
            if line == b"\r\n":
                return Stage.DONE
            if self._trailer_bytes > TRAILER_LIMIT_BYTES:
                raise ValueError("The end of the body is malformed.")
        return Stage.BODY


def _line(buffer: bytearray, limit_bytes: int) -> bytes | None:
    """
    Take the next line out of *buffer*; None if it has not come yet.

    Raises:
        ValueError: It is longer than *limit_bytes*.
    """
    end = buffer.find(b"\n", 0, limit_bytes) + 1
    if not end and len(buffer) >= limit_bytes:
        raise ValueError("A line of the body's framing is too long.")
    if not end:
        return None
    line = bytes(buffer[:end])
    del buffer[:end]
    return line
