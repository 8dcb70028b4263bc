"""What the runs of a process say, on its way: events by the outbox, files by a thread of their own.

A file's event is put once its bytes are safe, so that nobody is told of a file that is not there. Where there is no
agent, events go to the spool and files beside it; what finds no room there is told once, and counted.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from typing import Callable, Iterable, NamedTuple

from runlog import _surroundings
from runlog._api import Api
from runlog._event import INFO, WARN, Events, Said
from runlog._files import Brought, Files
from runlog._outbox import Entry, Outbox, Ways
from runlog._record import attribute, quoted
from runlog._surroundings import Address

#: How long a fork waits for the file and for the request that are being sent.
FORK_SECONDS = 1.0
#: How long the program's end waits for files.
CLOSE_SECONDS = 30.0
_FILES = "files"

#: The scope of what a run says.
_SCOPE = quoted("runlog.run")

_log = logging.getLogger("runlog")


class Places(NamedTuple):
    """Where a workspace is. Empty is what the environment says."""

    address: str = ""
    socket: str = ""
    spool: str = ""
    token: str = ""

    def receivers(self) -> list[Address]:
        """Give where OTLP may be taken."""
        if self.socket or self.address:
            return [_surroundings.address(self.socket or self.address)]
        return _surroundings.addresses(os.environ)

    def apis(self) -> list[Address]:
        """Give where the Run API may be served."""
        if self.address:
            return [_surroundings.address(self.address)]
        return [*self.receivers()[:1], *_surroundings.apis(os.environ)]

    def folder(self) -> str | None:
        """Give where is kept what nobody takes."""
        return self.spool or _surroundings.spool(os.environ)


class Delivery:
    """The way of one process to one place."""

    def __init__(self, places: Places) -> None:
        """Start with nothing under way."""
        self.places = places
        self.api = Api(places.apis, places.token)
        self._told: set[str] = set()
        self._is_known_to_multiprocessing = False
        self._begin()

    def _begin(self) -> None:
        """Start in this process."""
        folder = self.places.folder()
        self._events = Events(os.environ)
        receivers, token = self.places.receivers(), self.places.token
        self._outbox = Outbox(Ways(receivers, folder, _resource, self._loss, self._tell_trouble, token))
        self._files = Files(self.api, os.path.join(folder, _FILES) if folder else None, self.warn)

    def tell(self, resource: str, name: str, body: str, said: Iterable[Said], severity: int = INFO) -> None:
        """Put an event of the run with that resource."""
        self._outbox.put(_SCOPE, [self._events.event(name, body, said, severity)], resource)
        self._know_multiprocessing()

    def line(self, resource: str, body: str, stream: str) -> None:
        """Put a line that a script printed."""
        self._outbox.put(_SCOPE, [self._events.line(body, stream)], resource)

    def bring(self, content: bytes | str, name: str, then: Callable[[Brought], None]) -> None:
        """Put a file, by its bytes or its path. ``then`` is told once it is there, and may put events."""
        if isinstance(content, bytes):
            self._files.put_bytes(content, name, then)
        else:
            self._files.put(content, name, then)
        self._know_multiprocessing()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put is safe. Says whether it is."""
        until = time.monotonic() + seconds
        is_there = self._files.flush(seconds)
        return self._outbox.flush(max(0.0, until - time.monotonic())) and is_there

    def end(self) -> None:
        """Deliver all that is left, since the process ends."""
        if not self._files.flush(CLOSE_SECONDS):
            self.warn("the program ends, and files are lost that are not sent yet")
        self._outbox.end()

    def warn(self, text: str) -> None:
        """Say that something is not as it should be, once for each text."""
        if text in self._told or len(self._told) > 1000:
            return
        self._told.add(text)
        try:
            _log.warning("runlog: %s", text)
        except Exception:
            # A handler of the program's that fails is no reason to end it.
            return

    def _tell_trouble(self, text: str) -> None:
        outcome, _, reason = text.partition(": ")
        if os.environ.get("RUNLOG_PYTHON_DEBUG") and sys.stderr is not None:
            print(f"runlog: {text}", file=sys.stderr)
        if outcome == "away":
            folder = self.places.folder()
            self.warn(f"no agent takes what the run says; it is kept in {folder} until one does")
        elif outcome == "cannot be spooled":
            self.warn(f"no agent takes what the run says, and it cannot be kept either: {reason}")
        elif outcome in ("refused", "too_large"):
            self.warn(f"the agent does not take what the run says: {reason}")

    def _loss(self, count: int) -> Entry:
        body = f"{count} events of runs were lost: there was neither an agent nor room for them"
        said = [("runlog.gap.records", f'{{"intValue":"{count}"}}')]
        return _SCOPE, self._events.event("runlog.gap", body, said, WARN), _resource()

    def _know_multiprocessing(self) -> None:
        """Be told of the end of a process of multiprocessing, which ends without ``atexit``."""
        if self._is_known_to_multiprocessing:
            return
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            self._is_known_to_multiprocessing = True
            # Before the outbox, which does the same.
            util.Finalize(None, _end, args=(weakref.ref(self),), exitpriority=-90)

    def _rest(self) -> None:
        self._files.rest(FORK_SECONDS)
        self._outbox.rest(FORK_SECONDS)

    def _resume(self) -> None:
        self._outbox.resume()

    def _begin_after_fork(self) -> None:
        self._outbox.abandon()
        self._is_known_to_multiprocessing = False
        self._begin()


_deliveries: dict[tuple[Places, str], Delivery] = {}
_finding = threading.RLock()


def delivery(places: Places) -> Delivery:
    """Give the one of this process to there."""
    # The environment may be changed between two runs.
    key = (places, repr((places.receivers(), places.folder())))
    with _finding:
        found = _deliveries.get(key)
        if found is None:
            found = _deliveries[key] = Delivery(places)
        return found


def _resource() -> str:
    said: _surroundings.Attributes = [("telemetry.sdk.name", "runlog"), ("telemetry.sdk.language", "python")]
    return ",".join([attribute(key, value) for key, value in said])


def _end(one: weakref.ref[Delivery]) -> None:
    alive = one()
    if alive is not None:
        alive.end()


def _end_all() -> None:
    for one in list(_deliveries.values()):
        one.end()


def _before_fork() -> None:
    for one in list(_deliveries.values()):
        one._rest()


def _after_fork_in_parent() -> None:
    for one in list(_deliveries.values()):
        one._resume()


def _after_fork() -> None:
    # A thread that does not exist here may have held it.
    global _finding  # noqa: PLW0603
    _finding = threading.RLock()
    for one in list(_deliveries.values()):
        one._begin_after_fork()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
