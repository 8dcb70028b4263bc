"""The handler for ``logging``."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import weakref

from runlog import _level, _surroundings
from runlog._outbox import Entry, Outbox, Ways
from runlog._record import Encoder, attribute, quoted

#: How long a fork waits for the request that is being sent.
FORK_SECONDS = 1.0

#: The JSON of a logger's name.
_scope = functools.lru_cache(maxsize=1024)(quoted)

_handlers: weakref.WeakSet[Handler] = weakref.WeakSet()


class Handler(logging.Handler):
    """Sends records to a runlog agent.

    >>> logging.getLogger().addHandler(runlog.Handler())

    They go to the agent's unix socket, else to 127.0.0.1:4318, else into files that the next agent takes. A thread
    does it: logging costs no more than into a file, whatever the agent does.

    Without a formatter, the record's text is its message; all else that the record knows goes along as attributes.

    :param level: records below it are left out.
    :param socket: where the agent listens, and nowhere else: the path of its unix socket, or host:port. Else
        ``RUNLOG_SOCKET``, else it is looked for.
    :param spool: the folder of the files. Else ``RUNLOG_OTLP_SPOOL``, else that of this user's agent.
    :param debug: print on stderr what goes wrong. Else ``RUNLOG_PYTHON_DEBUG``.
    :param follow: while ``runlog level`` asks for a lower level, lower that of the loggers that this handler is at. A
        process that has forked goes on with that at its next record.
    """

    #: Tells the handlers of this package from the program's.
    is_of_runlog = True

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        *,
        socket: str | None = None,
        spool: str | None = None,
        debug: bool | None = None,
        follow: bool = True,
    ) -> None:
        super().__init__(level)
        self._lowered = _level.Lowered(self)
        self._follows = follow
        #: Since a fork, until the next record.
        self._is_to_follow = False
        self._addresses = [_surroundings.address(socket)] if socket else None
        self._spool = spool
        self._debug = debug
        self._begin()
        _handlers.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record. Never fails, and never waits for the agent."""
        # What comes of delivering would come again for each delivery.
        if threading.get_ident() in (self._outbox.thread_id, self._follower.thread_id):
            return
        if self._is_to_follow:
            self._is_to_follow = False
            self._follower.start()
        try:
            self._outbox.put(_scope(record.name), self._encoder.encode(record, self.formatter))
        except Exception as error:
            self._outbox.lose(1)
            self._say(f"a record is lost: {type(error).__name__}: {error}")

    def flush(self) -> None:
        """Wait until the records are delivered or in the spool, but no longer than five seconds."""
        self._outbox.flush()

    def close(self) -> None:
        """Deliver what is left. What comes later, as from ``atexit``, is delivered at once."""
        self._follower.end(FORK_SECONDS)
        self._lowered.reset()
        self._outbox.close()
        super().close()

    def _begin(self) -> None:
        """Start in this process."""
        environment = os.environ
        self._encoder = Encoder(environment)
        ways = Ways(
            addresses=self._addresses or _surroundings.addresses(environment),
            spool=self._spool or _surroundings.spool(environment),
            resource=_resource,
            loss=self._loss,
            say=self._say,
        )
        self._outbox = Outbox(ways)
        self._follower = _level.Follower(self._apis, _level.run_id, self._lowered.set)
        self._is_to_follow = False
        if self._follows:
            self._follower.start()

    def _apis(self) -> list[_surroundings.Address]:
        own = self._addresses or _surroundings.addresses(os.environ)
        return own if self._addresses else [*own, *_surroundings.apis(os.environ)]

    def _begin_after_fork(self) -> None:
        """Start in a child; the parent delivers what was put before."""
        self._outbox.abandon()
        self._follower.abandon()
        self._begin()

    def _loss(self, count: int) -> Entry:
        return quoted("runlog"), self._encoder.loss(count), ""

    def _say(self, text: str) -> None:
        is_asked_for = bool(os.environ.get("RUNLOG_PYTHON_DEBUG")) if self._debug is None else self._debug
        if is_asked_for and sys.stderr is not None:
            try:
                print(f"runlog: {text}", file=sys.stderr)
            except Exception:
                # A closed stderr is no reason to fail.
                return


def basicConfig(*, level: int | str | None = None) -> None:  # noqa: N802
    """Send what is logged anywhere in the program to runlog.

    It does for runlog what :func:`logging.basicConfig` does for the terminal: the root logger gets a :class:`Handler`,
    unless it has one, and the level, if one is given. Other handlers stay, so both can be used in one program.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, Handler) for handler in root.handlers):
        root.addHandler(Handler())
    if level is not None:
        root.setLevel(level)


def _resource() -> str:
    """Give what is said of this process and its run; it may be told its run after it was started."""
    said: _surroundings.Attributes = [("telemetry.sdk.name", "runlog"), ("telemetry.sdk.language", "python")]
    said += _surroundings.run(os.environ)
    return ",".join([attribute(key, value) for key, value in said])


def _after_fork() -> None:
    handlers: list[Handler] = list(_handlers)
    for handler in handlers:
        handler._begin_after_fork()


def _before_fork() -> None:
    # Python warns of a fork beside threads, and is right: the child may inherit what they hold.
    for handler in list(_handlers):
        handler._outbox.rest(FORK_SECONDS)
        handler._follower.end(FORK_SECONDS)


def _after_fork_in_parent() -> None:
    for handler in list(_handlers):
        handler._outbox.resume()
        # Python looks for threads once more when this has returned.
        handler._is_to_follow = handler._follows


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
