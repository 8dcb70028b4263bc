"""The levels that an operator asks the agent for, followed by the loggers of this process.

A record below its logger's level is never made, so no level of the agent can bring it back. Therefore a thread asks the
agent which levels are asked for, and is answered when that changes. While lower ones are asked for, it lowers those of
loggers, and then sets them back. It never raises one: what the agent does not want it leaves out itself, and what the
program prints elsewhere is none of its business.

Other handlers of the program are kept from records that they would not have had.

Training never waits for any of this: the thread waits for the agent, and nobody for the thread, but for a moment at a
fork.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, NamedTuple

from runlog import _fork
from runlog._agent import CONNECT_SECONDS, connected
from runlog._surroundings import Address

#: How long the agent may wait with its answer if nothing changes, and how much longer it is waited for.
WAIT_SECONDS = 20
PATIENCE_SECONDS = 10.0
#: When an agent is looked for again that has gone, and at least how often one is that was never there.
AGAIN_SECONDS = 1.0
SELDOM_SECONDS = 10.0
_LONGEST_ANSWER = 256 * 1024

_LEVELS = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}

#: The name of a logger, empty for those that the handler is at, and its level.
Wanted = Dict[str, int]


class Levels(NamedTuple):
    """What the agent says."""

    version: int
    #: The run of what does not say its run.
    run: str
    asked: list[dict[str, Any]]

    def wanted(self, run: str) -> Wanted:
        """Give the levels for a process of that run; empty if it does not say."""
        found: dict[str, tuple[int, int]] = {}
        for one in self.asked:
            level = _LEVELS.get(str(one.get("level")))
            source, of_run = one.get("source"), one.get("run")
            if level is None or source not in ("", "otlp", None) or of_run not in ("", run or self.run, None):
                continue
            # What names more counts, and then what was asked for last.
            named = bool(source) + bool(of_run)
            logger = str(one.get("logger") or "")
            if logger not in found or found[logger][0] <= named:
                found[logger] = (named, level)
        return {logger: level for logger, (_, level) in found.items()}


class Lowered:
    """The levels of loggers that are lower than the program has set them."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        #: Each logger with the level that it had, and the one that it was given.
        self._loggers: dict[logging.Logger, tuple[int, int]] = {}
        self._kept_from: list[logging.Handler] = []

    def set(self, wanted: Wanted) -> None:
        """Lower levels to what is wanted, and set all others back."""
        targets: dict[logging.Logger, int] = {}
        for name, level in wanted.items():
            for logger in [logging.getLogger(name)] if name else self._own():
                targets[logger] = level
        self.reset()
        for logger, level in targets.items():
            if level < logger.getEffectiveLevel():
                self._loggers[logger] = (logger.level, level)
        # No record of a lower level is made before the others are kept from it.
        if self._loggers:
            self._keep_others()
        for logger, (_, level) in self._loggers.items():
            logger.setLevel(level)

    def reset(self) -> None:
        """Set all back, but what the program has set meanwhile."""
        for logger, (before, given) in self._loggers.items():
            if logger.level == given:
                logger.setLevel(before)
        self._loggers = {}
        for handler in self._kept_from:
            handler.removeFilter(self._is_usual)
        self._kept_from = []

    def _own(self) -> Iterable[logging.Logger]:
        return [logger for logger in _loggers() if self._handler in logger.handlers]

    def _keep_others(self) -> None:
        for logger in _loggers():
            for handler in logger.handlers:
                if not _is_ours(handler) and handler not in self._kept_from:
                    handler.addFilter(self._is_usual)
                    self._kept_from.append(handler)

    def _is_usual(self, record: logging.LogRecord) -> bool:
        """Say whether the program would have made that record by itself."""
        logger: logging.Logger | None = logging.getLogger(record.name) if record.name != "root" else logging.root
        while logger is not None:
            level, _ = self._loggers.get(logger, (logger.level, 0))
            if level:
                return record.levelno >= level
            logger = logger.parent
        return True


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *[logger for logger in known if isinstance(logger, logging.Logger)]]


def _is_ours(handler: logging.Handler) -> bool:
    return getattr(handler, "is_of_runlog", False)


class Follower:
    """The thread that asks."""

    def __init__(self, addresses: Callable[[], list[Address]], run: Callable[[], str], tell: Callable[[Wanted], None]):
        """Prepare to ask there. ``tell`` is given what is wanted, each time that it changes, in the thread."""
        self._addresses, self._run_id, self._tell = addresses, run, tell
        self._thread: threading.Thread | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._has_to_end = False

    @property
    def thread_id(self) -> int | None:
        """The thread."""
        return self._thread.ident if self._thread is not None else None

    def start(self) -> None:
        """Begin, unless it has begun. Where there can be no thread nothing is followed."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._has_to_end = False
        try:
            self._wake = socket.socketpair()
            self._thread = threading.Thread(target=self._run, name="runlog-level", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError):
            self.abandon()

    def end(self, seconds: float) -> None:
        """End the thread, and wait for that so long."""
        thread, wake = self._thread, self._wake
        if thread is None or wake is None or thread.ident == threading.get_ident():
            return
        self._has_to_end = True
        # It may have ended by itself.
        with contextlib.suppress(OSError):
            wake[1].send(b"x")
        _fork.join(thread, seconds)
        if not thread.is_alive():
            self._thread = None

    def abandon(self) -> None:
        """Forget the thread, which is one of the process that this one was forked from."""
        for end in self._wake or ():
            end.close()
        self._thread = self._wake = None

    def _run(self) -> None:
        wake = self._wake
        assert wake is not None
        pause = AGAIN_SECONDS
        try:
            while not self._has_to_end:
                was_there = any(self._follow(address, wake[0]) for address in self._addresses())
                # What an agent asked for that is gone is not asked for any more.
                if not self._has_to_end:
                    self._tell({})
                    pause = AGAIN_SECONDS if was_there else min(2 * pause, SELDOM_SECONDS)
                    select.select([wake[0]], [], [], pause)
        except Exception:
            # Whatever it is, training goes on with its own levels.
            self._tell({})
        finally:
            for end in wake:
                end.close()

    def _follow(self, address: Address, wake: socket.socket) -> bool:
        """Follow the agent there until it is gone. Says whether there was one."""
        if self._has_to_end:
            return False
        try:
            connection = connected(address, CONNECT_SECONDS)
        except OSError:
            return False
        was_there = False
        with connection:
            version = 0
            told: Wanted | None = None
            try:
                while not self._has_to_end:
                    levels = _ask(connection, wake, version)
                    if levels is None:
                        return was_there
                    was_there, version = True, levels.version
                    wanted = levels.wanted(self._run_id())
                    if wanted != told:
                        told = wanted
                        self._tell(wanted)
            except (OSError, ValueError):
                # It is gone, or is no agent.
                return was_there
        return was_there


def _ask(connection: socket.socket, wake: socket.socket, version: int) -> Levels | None:
    """Ask for levels that are not those of that version. ``None`` if that is not answered with any."""
    question = (
        f"GET /api/v1/level?version={version}&wait_seconds={WAIT_SECONDS if version else 0} HTTP/1.1\r\n"
        "host: localhost\r\n\r\n"
    )
    connection.settimeout(CONNECT_SECONDS)
    connection.sendall(question.encode())
    received = b""
    until = time.monotonic() + WAIT_SECONDS + PATIENCE_SECONDS
    while True:
        readable, _, _ = select.select([connection, wake], [], [], max(0.0, until - time.monotonic()))
        if wake in readable or not readable:
            return None
        piece = connection.recv(16 * 1024)
        received += piece
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            first, *fields = head.decode("latin-1").lower().split("\r\n")
            lengths = [field.partition(":")[2].strip() for field in fields if field.startswith("content-length:")]
            if first.split(" ")[1:2] != ["200"] or not lengths or not lengths[0].isdigit():
                return None
            if len(body) >= int(lengths[0]):
                said = json.loads(body)
                asked = [one for one in said["asked"] if isinstance(one, dict)]
                return Levels(int(said["version"]), str(said.get("run", "")), asked)
        if not piece or len(received) > _LONGEST_ANSWER:
            return None


def run_id() -> str:
    """Give the run of this process, if it knows it."""
    return os.environ.get("RUNLOG_RUN_ID", "")
