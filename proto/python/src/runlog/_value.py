"""What may be logged, and what becomes of the rest."""

from __future__ import annotations

import math
from typing import Iterable, Mapping, NamedTuple, Union

from runlog._record import quoted

#: What a metric or a cell of a table is.
Value = Union[None, bool, int, float, str]


class Taken(NamedTuple):
    """A value as it is logged."""

    value: Value
    #: Whether it is the ``repr`` of what was given, since that is none of these.
    is_shown: bool = False


def take(value: object) -> Taken:
    """Give what is logged of an object: itself if it is a value, or a number of numpy's or torch's, else its repr."""
    if value is None or isinstance(value, bool):
        return Taken(value)
    if isinstance(value, str):
        return Taken(str.__str__(value))
    if isinstance(value, int):
        return Taken(int(value)) if -(2**63) <= value < 2**63 else Taken(str(int(value)), is_shown=True)
    if isinstance(value, float):
        return Taken(float(value))
    try:
        # They say by `item` which of Python's numbers they are, and nothing has to be imported to ask.
        number = value.item() if getattr(value, "ndim", None) == 0 else None  # type: ignore[attr-defined]
        if isinstance(number, (bool, int, float, str)):
            return take(number)
        return Taken(repr(value), is_shown=True)
    except Exception as error:
        return Taken(f"<{type(value).__name__} whose repr() raises {type(error).__name__}>", is_shown=True)


def series(value: object) -> list[object]:
    """Give what a list or a column is made of: of a value that is none, that value."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    # An array without dimensions says that it can be gone through, and cannot.
    return [value] if getattr(value, "ndim", None) == 0 else list(value)


def any_value(value: Value) -> str:
    """Give the JSON of an ``AnyValue``."""
    if isinstance(value, str):
        return f'{{"stringValue":{quoted(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{number(value)}}}'
    return "{}"


def array(values: Iterable[Value]) -> str:
    """Give the JSON of one that is a list."""
    return f'{{"arrayValue":{{"values":[{",".join([any_value(value) for value in values])}]}}}}'


def pairs(columns: Mapping[str, Value]) -> str:
    """Give the JSON of one that is a map."""
    said = [f'{{"key":{quoted(key)},"value":{any_value(value)}}}' for key, value in columns.items()]
    return f'{{"kvlistValue":{{"values":[{",".join(said)}]}}}}'


def number(value: float) -> str:
    """Give the JSON of a double, as protobuf has it."""
    if math.isfinite(value):
        return float.__repr__(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def shown(value: Value) -> str:
    """Give it for people."""
    return "null" if value is None else str(value)


def row(columns: dict[str, Value]) -> str:
    """Give a row for people."""
    return " ".join([f"{name}={shown(value)}" for name, value in columns.items()])
