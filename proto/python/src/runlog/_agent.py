"""The way to the agent: OTLP over HTTP, on a unix socket or the loopback port.

HTTP is written by hand, since ``http.client`` is what tracers and debuggers patch, and what they log of it would come
back here without end. It is a POST with a length, and an answer with a length.
"""

from __future__ import annotations

import enum
import socket
import time
from typing import Callable, NamedTuple

from runlog._surroundings import Address

#: How long the agent may take to answer. It gives up after eight seconds itself.
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 1.0
#: How long a wait is before somebody looks to other things.
_TICK_SECONDS = 0.1
#: An answer is a few hundred bytes. What says more is no agent.
_LONGEST_ANSWER = 64 * 1024


class Outcome(enum.Enum):
    """What became of a request."""

    TAKEN = enum.auto()
    #: The agent has no room now.
    BUSY = enum.auto()
    #: It is too large.
    TOO_LARGE = enum.auto()
    #: It will not be taken, whenever it is sent.
    REFUSED = enum.auto()
    #: There is no agent, or no answer of one.
    AWAY = enum.auto()


class Answer(NamedTuple):
    """What the agent says."""

    outcome: Outcome
    #: The status line, or why there is none.
    reason: str = ""


def connected(address: Address, seconds: float) -> socket.socket:
    """Give a connection to there, which waits no longer than that for anything."""
    if not isinstance(address, str):
        connection = socket.create_connection(address, seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("there are no unix sockets here")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


class NoAnswerError(Exception):
    """The other side does not speak as an agent does, or not in time."""


_OUTCOMES = {200: Outcome.TAKEN, 413: Outcome.TOO_LARGE, 408: Outcome.BUSY, 429: Outcome.BUSY}
#: What a server answers that is no receiver of OTLP, or none for us: one may want a token.
_NO_RECEIVER = (401, 403, 404, 405, 415, 501)


class Agent:
    """A connection to whichever agent there is."""

    def __init__(self, addresses: list[Address], while_waiting: Callable[[], bool], token: str = "") -> None:
        """Prepare to look there. ``while_waiting`` is called now and then, and says whether to go on waiting."""
        self._authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._addresses = addresses
        self._while_waiting = while_waiting
        self._connection: socket.socket | None = None
        self._at: Address = ""

    @property
    def is_connected(self) -> bool:
        """Whether there was an agent when it was last spoken to."""
        return self._connection is not None

    def send(self, body: bytes) -> Answer:
        """Send a request, and wait for the answer."""
        # A connection that was idle may have been closed at the other end, which shows only now.
        was_connected = self.is_connected
        answer = self._send_once(body)
        if answer.outcome is Outcome.AWAY and was_connected and not self.is_connected:
            answer = self._send_once(body)
        return answer

    def close(self) -> None:
        """End the connection. After a fork this leaves the parent's as it is."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send_once(self, body: bytes) -> Answer:
        reasons = []
        # An open connection is used; else each address is tried.
        for address in self._addresses if self._connection is None else [self._at]:
            try:
                status = self._exchange(self._connection or self._connect(address), body)
            except (OSError, NoAnswerError) as error:
                self.close()
                reasons.append(f"{address}: {error}")
                continue
            if status in _NO_RECEIVER:
                self.close()
                reasons.append(f"{address}: status {status}")
                continue
            return Answer(_OUTCOMES.get(status, Outcome.BUSY if status >= 500 else Outcome.REFUSED), f"status {status}")
        return Answer(Outcome.AWAY, "; ".join(reasons))

    def _connect(self, address: Address) -> socket.socket:
        connection = connected(address, CONNECT_SECONDS)
        connection.settimeout(_TICK_SECONDS)
        self._connection, self._at = connection, address
        return connection

    def _exchange(self, connection: socket.socket, body: bytes) -> int:
        """Send a request and give the status of its answer."""
        head = (
            "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{self._authorization}\r\n"
        )
        patience = _Patience(self._while_waiting)
        rest = memoryview(head.encode() + body)
        while rest:
            try:
                rest = rest[connection.send(rest) :]
            except socket.timeout:
                patience.wait()
        received = b""
        while True:
            answered = _answered(received)
            if answered is not None:
                status, is_last = answered
                if is_last:
                    self.close()
                return status
            try:
                piece = connection.recv(16 * 1024)
            except socket.timeout:
                patience.wait()
                continue
            if not piece:
                raise NoAnswerError("the connection was closed without an answer")
            received += piece


class _Patience:
    """Waits for one answer in short pieces."""

    def __init__(self, while_waiting: Callable[[], bool]) -> None:
        self._while_waiting = while_waiting
        self._until = time.monotonic() + ANSWER_SECONDS

    def wait(self) -> None:
        """Pass the time after a piece of it; fails when there is none left."""
        if not self._while_waiting() or time.monotonic() > self._until:
            raise NoAnswerError("no answer in time")


def _answered(received: bytes) -> tuple[int, bool] | None:
    """Give the status of an answer once all of it is there, and whether no other one follows."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        if len(received) > _LONGEST_ANSWER:
            raise NoAnswerError("what answers does not speak HTTP")
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise NoAnswerError("what answers does not speak HTTP")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = fields.get("content-length", "")
    # Of an answer without a length the status is all that is needed, and the connection is given up.
    is_last = not length.isdigit() or int(length) > _LONGEST_ANSWER or fields.get("connection", "").lower() == "close"
    is_whole = is_last or len(body) >= int(length)
    return (int(rest[:3]), is_last) if is_whole else None
