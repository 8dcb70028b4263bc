"""What a record of ``logging`` becomes on the wire: OTLP's JSON of a ``LogRecord``.

It is written as text, in pieces that are kept from record to record: the place in the source, the level and the thread
are the same for all records of one statement. That takes a third of the time of building objects for ``json.dumps``.
"""

from __future__ import annotations

import binascii
import itertools
import logging
import math
import os
import time
from json.encoder import encode_basestring
from typing import Mapping, Tuple

from runlog import _surroundings

#: A longer message becomes several records, which say of which message they are parts.
PART_CHARACTERS = 256 * 1024
#: A longer text of an attribute is cut, and says by how much.
TEXT_CHARACTERS = 64 * 1024
#: Lists and maps deeper than this, or with more items in all, are given as text.
_DEEPEST = 4
_MOST_ITEMS = 1000
#: Statements, levels and threads that are remembered.
_REMEMBERED = 4096
#: Seconds between looks at the environment: a worker is told its rank after it was started.
_LOOK_EVERY = 1.0

#: What ``logging`` itself puts into a record; all else is from ``extra``.
_OWN = frozenset(
    [*list(vars(logging.makeLogRecord({}))), "message", "asctime", "taskName"],
)
#: Attributes that are ours. One of ``extra`` with such a name is kept under another.
_TAKEN = frozenset(
    [
        *("code.file.path", "code.line.number", "code.function.name", "code.stacktrace", "process.pid"),
        *("thread.id", "thread.name", "exception.type", "exception.message", "exception.stacktrace"),
        *("ml.rank", "ml.local_rank", "ml.world_size", "ml.run.restart", "log.record.uid", "runlog.format_error"),
        *("runlog.part.id", "runlog.part.index", "runlog.part.count"),
    ]
)

_FORMATTER = logging.Formatter()

#: Level, and attributes.
Head = Tuple[str, str]

#: A text as JSON.
quoted = encode_basestring


class Encoder:
    """Turns records into JSON. One for each process: it gives each record a uid."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start with what that environment says, which may change later."""
        self._environment = environment
        self._surroundings: _surroundings.Attributes = []
        self._heads: dict[object, Head] = {}
        self._looked_at = 0.0
        self.begin()

    def begin(self) -> None:
        """Start anew in this process, after a fork."""
        self._uid = binascii.hexlify(os.urandom(8)).decode()
        self._count = itertools.count()
        self._look(0.0)

    def encode(self, record: logging.LogRecord, formatter: logging.Formatter | None) -> list[bytes]:
        """Give the JSON of the record, or of each of its parts. Fails only if the record is none."""
        if not 0.0 <= record.created - self._looked_at < _LOOK_EVERY:
            self._look(record.created)
        before, after = self._head(record)
        moment = f'{{"timeUnixNano":"{int(record.created * 1e9)}"'
        body, further = _message(record, formatter)
        if record.exc_info or record.exc_text or record.stack_info:
            further += _exception(record)
        extra = record.__dict__.keys() - _OWN
        if extra:
            further += _extra(record, extra)
        if len(body) <= PART_CHARACTERS:
            return [self._whole(f"{moment}{before}", body, f"{after}{further}")]
        parts = [body[at : at + PART_CHARACTERS] for at in range(0, len(body), PART_CHARACTERS)]
        part_id = f"{self._uid}{next(self._count):016x}"
        records = []
        for index, part in enumerate(parts):
            place: _surroundings.Attributes = [("runlog.part.id", part_id), ("runlog.part.index", index)]
            if index == len(parts) - 1:
                place.append(("runlog.part.count", len(parts)))
            said = "".join("," + attribute(key, value) for key, value in place)
            # The traceback goes with the end of its message.
            said += further if index == len(parts) - 1 else ""
            records.append(self._whole(f"{moment}{before}", part, f"{after}{said}"))
        return records

    def loss(self, count: int) -> bytes:
        """Give a record that tells of so many that were lost."""
        said = "records were lost: there was neither an agent nor room for them"
        if count == 1:
            said = "record was lost: there was neither an agent nor room for it"
        body = f"{count} {said}"
        before = f'{{"timeUnixNano":"{time.time_ns()}","severityNumber":13,"eventName":"runlog.gap"'
        pairs = ("event.name", "runlog.gap"), ("runlog.gap.records", count), ("process.pid", os.getpid())
        return self._whole(before, body, ",".join(attribute(key, value) for key, value in pairs))

    def _whole(self, before: str, body: str, attributes: str) -> bytes:
        uid = f'{{"key":"log.record.uid","value":{{"stringValue":"{self._uid}{next(self._count):016x}"}}}}'
        body = f'"body":{{"stringValue":{quoted(body)}}}'
        return utf8(f'{before},{body},"attributes":[{attributes},{uid}]}}')

    def _look(self, now: float) -> None:
        self._looked_at = now
        seen = _surroundings.ranks(self._environment)
        if seen != self._surroundings:
            self._surroundings = seen
            self._heads.clear()

    def _head(self, record: logging.LogRecord) -> Head:
        """Give what is the same for all records of one statement: the level, and the attributes."""
        key = (
            record.pathname,
            record.lineno,
            record.levelno,
            record.levelname,
            record.thread,
            record.threadName,
            record.process,
            record.funcName,
        )
        head = self._heads.get(key)
        if head is None:
            pairs: _surroundings.Attributes = [
                ("code.file.path", record.pathname),
                ("code.line.number", record.lineno),
                ("code.function.name", record.funcName),
                ("thread.id", record.thread),
                ("thread.name", record.threadName),
                ("process.pid", record.process),
            ]
            pairs += self._surroundings
            level = f',"severityNumber":{severity(record.levelno)},"severityText":{quoted(record.levelname)}'
            head = level, ",".join(attribute(name, value) for name, value in pairs if value is not None)
            if len(self._heads) >= _REMEMBERED:
                self._heads.clear()
            self._heads[key] = head
        return head


def severity(levelno: int) -> int:
    """Give OTLP's number for a level of ``logging``: ``docs/attributes.md``, "Levels"."""
    if levelno < 10:
        return 1 if levelno > 0 else 0
    tens = min(levelno // 10, 5)
    return 1 + 4 * tens + min(levelno - 10 * tens, 3)


def attribute(key: str, value: object) -> str:
    """Give the JSON of a ``KeyValue``."""
    try:
        said = _any_value(value, _DEEPEST, [_MOST_ITEMS])
    except Exception as error:
        said = _any_value(f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>", 0, [0])
    return f'{{"key":{quoted(key)},"value":{said}}}'


def utf8(text: str) -> bytes:
    """Encode a text. Halves of surrogate pairs, which UTF-8 does not know, are joined or replaced."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _message(record: logging.LogRecord, formatter: logging.Formatter | None) -> tuple[str, str]:
    """Give the message, and attributes that tell what is wrong with it."""
    try:
        return (record.getMessage() if formatter is None else formatter.format(record)), ""
    except Exception as error:
        # A wrong format, or an argument that cannot be shown. What can be said is said.
        said = f"{type(error).__name__}: {_text(error)}"
        return f"{_text(record.msg)} {_text(record.args)}", "," + attribute("runlog.format_error", said)


def _exception(record: logging.LogRecord) -> str:
    said: _surroundings.Attributes = []
    stack = record.exc_text
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        kind, error = record.exc_info[:2]
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        said += [("exception.type", f"{module}{kind.__qualname__}"), ("exception.message", _text(error))]
        if not stack:
            try:
                stack = _FORMATTER.formatException(record.exc_info)
            except Exception as failure:
                stack = f"the traceback cannot be shown: {_text(failure)}"
    if stack:
        said.append(("exception.stacktrace", stack))
    if record.stack_info:
        said.append(("code.stacktrace", record.stack_info))
    return "".join("," + attribute(key, value) for key, value in said)


def _extra(record: logging.LogRecord, names: set[str]) -> str:
    values = record.__dict__
    # In the order in which they were given.
    pairs = [(name, values[name]) for name in values if name in names]
    return "".join("," + attribute(f"extra.{name}" if name in _TAKEN else name, value) for name, value in pairs)


def _any_value(value: object, depth: int, room: list[int]) -> str:
    """Give the JSON of an ``AnyValue``, with so many levels below it and room for so many items in all."""
    if isinstance(value, str):
        return f'{{"stringValue":{quoted(_cut(str.__str__(value)))}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return f'{{"intValue":"{int(value)}"}}'
    if isinstance(value, float) and math.isfinite(value):
        return f'{{"doubleValue":{float.__repr__(value)}}}'
    if value is None:
        return "{}"
    if isinstance(value, (bytes, bytearray)) and len(value) <= TEXT_CHARACTERS:
        return f'{{"bytesValue":"{binascii.b2a_base64(value, newline=False).decode()}"}}'
    if isinstance(value, (list, tuple, dict)) and depth > 0 and len(value) <= room[0]:
        room[0] -= len(value)
        if isinstance(value, dict):
            pairs = [(_text(key), _any_value(item, depth - 1, room)) for key, item in value.items()]
            items = ",".join([f'{{"key":{quoted(key)},"value":{item}}}' for key, item in pairs])
            return f'{{"kvlistValue":{{"values":[{items}]}}}}'
        items = ",".join([_any_value(item, depth - 1, room) for item in value])
        return f'{{"arrayValue":{{"values":[{items}]}}}}'
    # A number of numpy's or torch's says by `item` which of Python's it is.
    item = getattr(value, "item", None) if getattr(value, "ndim", None) == 0 else None
    number = item() if callable(item) else None
    if isinstance(number, (bool, int, float)):
        return _any_value(number, 0, room)
    return f'{{"stringValue":{quoted(_text(value))}}}'


def _text(value: object) -> str:
    try:
        return _cut(str(value))
    except Exception as error:
        return f"<{type(value).__name__} whose str() raises {type(error).__name__}>"


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS:
        return text
    return f"{text[:TEXT_CHARACTERS]}… and {len(text) - TEXT_CHARACTERS} more characters"
