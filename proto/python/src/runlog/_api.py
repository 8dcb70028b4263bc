"""The way to the Run API, for what is asked and for files: ``docs/run-api.md``."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import IO, Any, Callable, Iterator
from urllib.parse import quote, urlencode

from runlog._agent import connected
from runlog._surroundings import Address
from runlog.exceptions import ServiceException

_CONNECT_SECONDS = 2.0
#: How long an answer may take. A stream says something every 15 seconds.
_ANSWER_SECONDS = 60.0
_PIECE_BYTES = 256 * 1024
_NOT_FOUND = 404


class AwayError(ServiceException):
    """Nobody answers."""


class _Connection(http.client.HTTPConnection):
    """To a unix socket or to a host and port."""

    def __init__(self, address: Address) -> None:
        super().__init__("localhost", timeout=_CONNECT_SECONDS)
        self._address = address

    def connect(self) -> None:
        self.sock = connected(self._address, _CONNECT_SECONDS)
        self.sock.settimeout(_ANSWER_SECONDS)


class Api:
    """Asks whichever agent or server there is. Every call has a connection of its own."""

    def __init__(self, addresses: Callable[[], list[Address]], token: str = "") -> None:
        """Prepare to ask there. The addresses are looked up anew for each call: an agent may be started later."""
        self._addresses = addresses
        self._token = token

    def get(self, path: str, **query: object) -> Any:
        """Give what is answered, which is JSON."""
        with self._call("GET", _with(path, query)) as answer:
            return json.loads(answer.read() or b"null")

    def post(self, path: str, message: dict[str, object]) -> Any:
        """Send a message and give the answer, both JSON."""
        head = {"content-type": "application/json"}
        with self._call("POST", path, json.dumps(message).encode(), head) as answer:
            return json.loads(answer.read() or b"null")

    def download(self, path: str, file: IO[bytes]) -> None:
        """Write what is answered into a file."""
        with self._call("GET", path) as answer:
            for piece in iter(lambda: answer.read(_PIECE_BYTES), b""):
                file.write(piece)

    def held_bytes(self, sha256: str) -> int:
        """Give how much is held of a file; -1 if none of it."""
        try:
            with self._call("HEAD", f"/api/v1/files/{sha256}") as answer:
                return int(answer.headers.get("runlog-held-bytes") or 0)
        except ServiceException as error:
            # An answer to HEAD has no words; what serves no such thing says so when the file is sent.
            if error.status_code == _NOT_FOUND:
                return -1
            raise

    def upload(self, sha256: str, size: int, file: IO[bytes]) -> None:
        """Send a file."""
        head = {"content-type": "application/octet-stream", "content-length": str(size)}
        with self._call("PUT", f"/api/v1/files/{sha256}", file, head) as answer:
            answer.read()

    def follow(self, path: str, **query: object) -> Iterator[Any]:
        """Give what a stream of server-sent events says, until it ends."""
        said: list[str] = []
        with self._call("GET", _with(path, query), None, {"accept": "text/event-stream"}) as answer:
            for line in iter(answer.readline, b""):
                name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
                if name == "data":
                    said.append(value[1:] if value.startswith(" ") else value)
                elif not name and not value and said:
                    yield json.loads("\n".join(said))
                    said.clear()

    @contextlib.contextmanager
    def _call(
        self, method: str, path: str, body: bytes | IO[bytes] | None = None, head: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        head = {**(head or {}), **({"authorization": f"Bearer {self._token}"} if self._token else {})}
        reasons = []
        for address in self._addresses():
            connection = _Connection(address)
            try:
                if not isinstance(body, (bytes, type(None))):
                    body.seek(0)
                connection.request(method, path, body, head)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                reasons.append(f"{_shown(address)}: {error or type(error).__name__}")
                continue
            if answer.status < 300:
                try:
                    yield answer
                finally:
                    answer.close()
                    connection.close()
                return
            fault = _fault(answer)
            answer.close()
            connection.close()
            # What has this address may be no agent, or one that serves OTLP alone.
            if answer.status == _NOT_FOUND and not fault.reason and method != "HEAD":
                reasons.append(f"{_shown(address)}: {fault}")
                continue
            raise fault
        remedy = "start one with: runlog agent"
        raise AwayError(f"no agent answers, {remedy} ({'; '.join(reasons) or 'there is no address for one'})")


def part(text: str) -> str:
    """Give a part of a path."""
    return quote(text, safe="")


def _with(path: str, query: dict[str, object]) -> str:
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path


def _shown(address: Address) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


def _fault(answer: http.client.HTTPResponse) -> ServiceException:
    text = answer.read(64 * 1024)
    try:
        said = json.loads(text)
        message, reason, field = (str(said.get(name) or "") for name in ("error", "reason", "field"))
        if isinstance(said["error"], dict):
            message, reason, field = (str(said["error"].get(name) or "") for name in ("message", "reason", "field"))
    except (ValueError, KeyError, AttributeError):
        message, reason, field = text.decode("utf-8", "replace").strip() or str(answer.reason), "", ""
    return ServiceException(f"{message} (status {answer.status})", answer.status, reason, field)
