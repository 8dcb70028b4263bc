"""What a run says on the wire: an OTLP log record with an event's name, as ``docs/attributes.md`` has them."""

from __future__ import annotations

import os
import time
from typing import Iterable, Mapping, Tuple

from runlog import _surroundings
from runlog._record import attribute, quoted, utf8

#: Seconds between looks at the environment: a worker is told its rank after it was started.
_LOOK_EVERY = 1.0

INFO = 9
WARN = 13
ERROR = 17

#: A name, and the JSON of an ``AnyValue``.
Said = Tuple[str, str]


class Events:
    """Makes the events of one process. Each has a time after that of the one before it.

    They get their uids with the request that they are sent in: :meth:`runlog._outbox._Request.body`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start in this process."""
        self._environment = environment
        self._latest = 0
        self._look_after = 0.0
        self._surroundings = ""

    def event(self, name: str, body: str, said: Iterable[Said], severity: int = INFO) -> bytes:
        """Give the JSON of an event that happens now."""
        if time.monotonic() >= self._look_after:
            self._look()
        attributes = [f'{{"key":{quoted(key)},"value":{value}}}' for key, value in said]
        attributes.append(f'{{"key":"event.name","value":{{"stringValue":{quoted(name)}}}}},{self._surroundings}')
        return utf8(
            f'{{"timeUnixNano":"{self._moment()}","severityNumber":{severity},"eventName":{quoted(name)},'
            f'"body":{{"stringValue":{quoted(body)}}},"attributes":[{",".join(attributes)}]}}'
        )

    def line(self, body: str, stream: str) -> bytes:
        """Give the JSON of a line that a script printed."""
        said = attribute("log.iostream", stream)
        return utf8(
            f'{{"timeUnixNano":"{self._moment()}","body":{{"stringValue":{quoted(body)}}},"attributes":[{said}]}}'
        )

    def _look(self) -> None:
        seen: _surroundings.Attributes = [("process.pid", os.getpid()), *_surroundings.ranks(self._environment)]
        self._surroundings = ",".join([attribute(key, value) for key, value in seen])
        # Last, since a signal handler may make an event in the midst of this.
        self._look_after = time.monotonic() + _LOOK_EVERY

    def _moment(self) -> int:
        # Points are read back in the order of their times. There is no lock, since a signal handler may log as well;
        # two threads may have the same moment.
        self._latest = moment = max(time.time_ns(), self._latest + 1)
        return moment
