"""What a run logs. None of these calls waits for an agent, and none fails for what is logged.

What cannot be logged at all, such as a file that does not exist, is an error of the call.
"""

from __future__ import annotations

import functools
import io
import json
import math
import mimetypes
import os
import time
from typing import IO, Any, Callable, Iterable, Mapping, TypeVar, cast

from runlog import _image
from runlog._delivery import Delivery
from runlog._event import INFO, WARN, Said
from runlog._files import Brought
from runlog._record import quoted
from runlog._value import Value, any_value, array, number, pairs, row, series, shown, take
from runlog.exceptions import UserErrorException

#: What azureml allows, beyond which it is told.
MOST_COLUMNS = 15
LONGEST_NAME = 255
#: A longer text is kept as a file, and its beginning as the value.
TEXT_CHARACTERS = 16 * 1024
#: A list becomes events of so many values, a table of so many bytes.
_LIST_VALUES = 250
_TABLE_BYTES = 32 * 1024
_NAME_BYTES = 1024
_HEAD_BYTES = 64 * 1024

_Call = TypeVar("_Call", bound=Callable[..., None])


def _harmless(call: _Call) -> _Call:
    @functools.wraps(call)
    def guarded(self: Verbs, name: str, *given: Any, **named: Any) -> None:
        try:
            call(self, name, *given, **named)
        except UserErrorException:
            raise
        except Exception as error:
            self._warn(f"{call.__name__}({name!r}) has logged nothing: {type(error).__name__}: {error}")

    return cast("_Call", guarded)


class Verbs:
    """What can be logged."""

    #: What each name was logged as first.
    _kinds: dict[str, str]

    @property
    def id(self) -> str:
        """The run's id."""
        raise NotImplementedError

    @property
    def _delivery(self) -> Delivery:
        raise NotImplementedError

    def _tell(self, name: str, body: str, said: Iterable[Said], severity: int = INFO) -> None:
        raise NotImplementedError

    def _warn(self, text: str) -> None:
        self._delivery.warn(text)

    @_harmless
    def log(self, name: str, value: object, description: str = "", step: int | None = None) -> None:
        """Log a number, a text or a truth. The same name again makes a series of it.

        :param step: where in the training it belongs, such as the number of the epoch.
        """
        name = self._checked(name, "scalar")
        taken = self._value(name, value)
        said = [("ml.metric.name", any_value(name))]
        severity = INFO
        if isinstance(taken, str):
            said.append(("ml.metric.text", any_value(taken)))
        elif taken is not None:
            said.append(("ml.metric.value", any_value(taken)))
        if isinstance(taken, float) and not math.isfinite(taken):
            said.append(("ml.metric.nonfinite", any_value(True)))
            severity = WARN
        body = f"{name} {shown(taken)}"
        at = take(step).value
        if isinstance(at, (int, float)) and at == math.floor(at):
            said.append(("ml.step", any_value(int(at))))
            body = f"{body} at step {int(at)}"
        elif step is not None:
            self._warn(f"log({name!r}): a step is a whole number, {step!r} is left out")
        self._tell("ml.metric", body, _described(said, description), severity)

    @_harmless
    def log_list(self, name: str, value: Iterable[object], description: str = "") -> None:
        """Log several values at once, as so many calls of :meth:`log` would."""
        name = self._checked(name, "list")
        values = [self._value(name, one) for one in series(value)]
        for at in range(0, max(1, len(values)), _LIST_VALUES):
            part = values[at : at + _LIST_VALUES]
            said = [("ml.metric.name", any_value(name)), ("ml.list.values", array(part))]
            body = f"{name} {', '.join([shown(one) for one in part[:10]])}{', …' if len(part) > 10 else ''}"
            self._tell("ml.list", body, _described(said, description))

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Log a row of a table, whose columns are the further arguments. Repeated calls build the table."""
        self._log_row(name, description or "", kwargs)

    @_harmless
    def _log_row(self, name: str, description: str, given: Mapping[str, object]) -> None:
        name = self._checked(name, "row")
        columns = {str(column): self._value(f"{name}.{column}", value) for column, value in given.items()}
        self._count_columns(name, columns)
        said = [("ml.table.name", any_value(name)), ("ml.row", pairs(columns))]
        self._tell("ml.row", f"{name} {row(columns)}", _described(said, description))

    @_harmless
    def log_table(self, name: str, value: Mapping[str, Iterable[object]], description: str = "") -> None:
        """Log a table: a list of values for each column."""
        name = self._checked(name, "table")
        columns = {str(key): [self._value(f"{name}.{key}", one) for one in series(of)] for key, of in value.items()}
        self._count_columns(name, columns)
        rows = max([len(column) for column in columns.values()], default=0)
        if any(len(column) != rows for column in columns.values()):
            self._warn(f"log_table({name!r}): the columns are not equally long, what is missing is null")
            columns = {key: column + [None] * (rows - len(column)) for key, column in columns.items()}
        for table in _cut(columns, rows):
            count = max([len(column) for column in table.values()], default=0)
            said = [
                ("ml.table.name", any_value(name)),
                ("ml.table.data", any_value(_json(table))),
                ("ml.table.rows", any_value(count)),
                ("ml.table.columns", any_value(len(table))),
            ]
            body = f"{name} {count} rows of {', '.join(table)}"
            self._tell("ml.table", body, _described(said, description))

    def log_image(self, name: str, path: str | None = None, plot: Any = None, description: str = "") -> None:
        """Log a picture.

        :param path: the file that it is in.
        :param plot: or matplotlib's ``pyplot``, or a figure, as it is now.
        """
        if (path is None) == (plot is None):
            raise UserErrorException("log_image takes either a path or a plot")
        if plot is not None:
            if not hasattr(plot, "savefig"):
                raise UserErrorException(f"log_image takes matplotlib's pyplot or a figure, not {plot!r}")
            drawn = io.BytesIO()
            plot.savefig(drawn, format="png")
            content: bytes | str = drawn.getvalue()
            head = drawn.getvalue()[:_HEAD_BYTES]
            as_name = _file_name(f"{name}_{time.time_ns() // 1_000_000}.png")
        else:
            content = path = os.fspath(cast("str", path))
            head = _head(path)
            inside = not os.path.isabs(path) and ".." not in path.split(os.sep)
            as_name = _file_name(path if inside else os.path.basename(path))
        picture = _image.look(head)
        if picture is None:
            raise UserErrorException(f"{path} is no picture: PNG, JPEG, GIF, BMP, TIFF, WebP or SVG")
        further = [("ml.artifact.media_type", any_value(picture.media_type))]
        if picture.width:
            further += [("ml.artifact.width", any_value(picture.width))]
            further += [("ml.artifact.height", any_value(picture.height))]
        self._bring(content, as_name, "image", further, description)
        self._point(name, "image", as_name)

    def log_confusion_matrix(self, name: str, value: object, description: str = "") -> None:
        """Log a confusion matrix: JSON with ``schema_type``, ``schema_version`` and ``data``."""
        self._log_json(name, "confusion_matrix", value, description)

    def log_accuracy_table(self, name: str, value: object, description: str = "") -> None:
        """Log an accuracy table, as :meth:`log_confusion_matrix` does."""
        self._log_json(name, "accuracy_table", value, description)

    def log_residuals(self, name: str, value: object, description: str = "") -> None:
        """Log residuals, as :meth:`log_confusion_matrix` does."""
        self._log_json(name, "residuals", value, description)

    def log_predictions(self, name: str, value: object, description: str = "") -> None:
        """Log predictions, as :meth:`log_confusion_matrix` does."""
        self._log_json(name, "predictions", value, description)

    def upload_file(self, name: str, path_or_stream: str | IO[Any], datastore_name: str | None = None) -> None:
        """Keep a file under that name. One of more than 1 MiB is read in the background, until a flush."""
        del datastore_name
        as_name = _file_name(name)
        if isinstance(path_or_stream, (str, os.PathLike)):
            self._bring(os.fspath(path_or_stream), as_name, "file", _media_type(as_name))
            return
        read = path_or_stream.read()
        self._bring(read.encode() if isinstance(read, str) else bytes(read), as_name, "file", _media_type(as_name))

    def upload_files(
        self,
        names: Iterable[str],
        paths: Iterable[str],
        return_artifacts: bool = False,
        timeout_seconds: int | None = None,
        datastore_name: str | None = None,
    ) -> None:
        """Keep several files, each under its name."""
        del return_artifacts, timeout_seconds, datastore_name
        names, paths = list(names), list(paths)
        if len(names) != len(paths):
            raise UserErrorException(f"upload_files takes a path for each name: {len(names)} names, {len(paths)} paths")
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:
        """Keep all files below a folder, under that name and their place in it."""
        del datastore_name
        folder = _file_name(name)
        if not os.path.isdir(path):
            raise UserErrorException(f"{path} is no folder")
        total = 0
        for place, folders, files in os.walk(path):
            folders.sort()
            for file in sorted(files):
                whole = os.path.join(place, file)
                if not os.path.isfile(whole):
                    continue
                as_name = "/".join([folder, *os.path.relpath(whole, path).split(os.sep)])
                total += os.stat(whole).st_size
                self._bring(whole, as_name, "file", _media_type(as_name))
        said = _artifact(folder, "folder", [("ml.artifact.size", any_value(total))])
        self._tell("ml.artifact", f"{folder}/ {total} bytes", said)

    def tag(self, key: str, value: object = None) -> None:
        """Give the run a tag. The last value counts."""
        self._pair("tag", key, value)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Give the run several tags."""
        for key, value in tags.items():
            self.tag(key, value)

    def add_properties(self, properties: Mapping[str, object]) -> None:
        """Give the run properties, which do not change: the first value counts."""
        for key, value in properties.items():
            self._pair("property", key, value)

    def add_parameters(self, parameters: Mapping[str, object]) -> None:
        """Say what the training was set to, such as its learning rate. The first value counts."""
        for key, value in parameters.items():
            self._param(key, take(value).value)

    @_harmless
    def _pair(self, kind: str, key: object, value: object) -> None:
        text = None if value is None else str(value)
        said = [(f"ml.run.{kind}.key", any_value(str(key))), (f"ml.run.{kind}.value", any_value(text))]
        self._tell(f"ml.run.{kind}", str(key) if text is None else f"{key} = {text}", said)

    @_harmless
    def _param(self, key: str, value: Value) -> None:
        said = [("ml.run.param.key", any_value(str(key))), ("ml.run.param.value", any_value(value))]
        self._tell("ml.run.param", f"{key} = {shown(value)}", said)

    def _log_json(self, name: str, schema_type: str, value: object, description: str) -> None:
        if isinstance(value, (str, bytes)):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise UserErrorException(f"log_{schema_type}({name!r}): this is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise UserErrorException(f"log_{schema_type}({name!r}) takes a dict, or JSON of one")
        try:
            content = json.dumps(value).encode()
        except (TypeError, ValueError) as error:
            raise UserErrorException(f"log_{schema_type}({name!r}): this cannot be written as JSON: {error}") from error
        further = [("ml.artifact.media_type", any_value("application/json"))]
        further += [("ml.artifact.schema_type", any_value(schema_type))]
        as_name = _file_name(name)
        self._bring(content, as_name, "json", further, description)
        self._point(name, schema_type, as_name)

    def _bring(
        self, content: bytes | str, name: str, kind: str, further: Iterable[Said], description: str = ""
    ) -> None:
        further = list(further)
        if description:
            further.append(("ml.artifact.description", any_value(description)))

        def then(brought: Brought) -> None:
            said = [("ml.artifact.sha256", any_value(brought.sha256)), ("ml.artifact.size", any_value(brought.size))]
            self._tell("ml.artifact", f"{name} {brought.size} bytes", _artifact(name, kind, [*said, *further]))

        try:
            self._delivery.bring(content, name, then)
        except OSError as error:
            raise UserErrorException(f"{content!r} cannot be read: {error.strerror or error}") from error

    def _point(self, name: str, kind: str, file: str) -> None:
        """Log where a file is as the value of a metric, as azureml does."""
        name = self._checked(name, kind)
        said = [("ml.metric.name", any_value(name)), ("ml.metric.text", any_value(f"runlog://{self.id}/{file}"))]
        self._tell("ml.metric", f"{name} {file}", said)

    def _checked(self, name: object, kind: str) -> str:
        """Check a name, and that it was not logged as something else."""
        text = name if isinstance(name, str) else str(name)
        if len(text) > LONGEST_NAME:
            self._warn(f"the name {text[:40]}… has {len(text)} characters, more than {LONGEST_NAME}")
            text = text[:_NAME_BYTES]
        text = "".join([character if character.isprintable() else " " for character in text]) or " "
        family = _FAMILIES.get(kind, kind)
        first = self._kinds.setdefault(text, family)
        if first != family:
            self._warn(f"{text!r} was logged as a {first} before; what is logged of it as a {family} is told apart")
        return text

    def _value(self, name: str, given: object) -> Value:
        value, is_shown = take(given)
        if is_shown:
            kind = type(given).__name__
            self._warn(f"{name!r} was given a value of type {kind}, its repr is logged: convert it to a number or text")
        if isinstance(value, str) and len(value) > TEXT_CHARACTERS:
            file = f"long_values/{_part(name)}_{time.time_ns()}.txt"
            self._bring(value.encode("utf-8", "replace"), file, "file", [("ml.artifact.media_type", _TEXT)])
            self._warn(f"{name!r} was given a text of {len(value)} characters, which is kept whole in the file {file}")
            return f"{value[:TEXT_CHARACTERS]}… and {len(value) - TEXT_CHARACTERS} more characters in {file}"
        return value

    def _count_columns(self, name: str, columns: Mapping[str, object]) -> None:
        if len(columns) > MOST_COLUMNS:
            self._warn(f"{name!r} has {len(columns)} columns, more than {MOST_COLUMNS}: some backends cut them")


_FAMILIES = {"list": "series", "scalar": "series", "row": "table"}
_TEXT = any_value("text/plain; charset=utf-8")


def failure(error_details: object, error_code: str | None) -> tuple[str, list[Said]]:
    """Give what went wrong in one sentence, and as attributes."""
    code = "UserError" if error_code is None else str(error_code)
    said = [("error.type", any_value(code))]
    if isinstance(error_details, BaseException):
        import traceback  # noqa: PLC0415

        kind = type(error_details).__name__
        message = f"{kind}: {error_details}"
        stack = "".join(traceback.format_exception(type(error_details), error_details, error_details.__traceback__))
        said += [("exception.type", any_value(kind)), ("exception.stacktrace", any_value(stack[-256 * 1024 :]))]
    else:
        message = "" if error_details is None else str(error_details)
    if message:
        said.append(("exception.message", any_value(message[: 64 * 1024])))
    return message or code, said


def _described(said: list[Said], description: str) -> list[Said]:
    return [*said, ("ml.metric.description", any_value(str(description)))] if description else said


def _artifact(name: str, kind: str, further: Iterable[Said]) -> list[Said]:
    return [("ml.artifact.name", any_value(name)), ("ml.artifact.kind", any_value(kind)), *further]


def _media_type(name: str) -> list[Said]:
    found = mimetypes.guess_type(name, strict=False)[0]
    return [("ml.artifact.media_type", any_value(found))] if found else []


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise UserErrorException(f"{path} cannot be read: {error.strerror or error}") from error


def _file_name(name: str) -> str:
    """Give the name of a file below the run's, or fail."""
    text = str(name).replace(os.sep, "/")
    while text.startswith("./"):
        text = text[2:]
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UserErrorException(f"{name!r} cannot name a file: use a path such as outputs/model.pkl, without ..")
    if len(text.encode("utf-8", "replace")) > _NAME_BYTES or not text.isprintable():
        raise UserErrorException(f"{name!r} cannot name a file: use up to {_NAME_BYTES} bytes that can be printed")
    return text


def _part(name: str) -> str:
    return "".join([character if character.isalnum() or character in "-_." else "_" for character in name])[:100]


def _cut(columns: dict[str, list[Value]], rows: int) -> Iterable[dict[str, list[Value]]]:
    """Give the rows of a table in tables that are small enough."""
    if rows > 1 and len(_json(columns)) > _TABLE_BYTES:
        middle = rows // 2
        yield from _cut({key: column[:middle] for key, column in columns.items()}, middle)
        yield from _cut({key: column[middle:] for key, column in columns.items()}, rows - middle)
    else:
        yield columns


def _json(columns: dict[str, list[Value]]) -> str:
    said = [f"{quoted(key)}:[{','.join([_cell(cell) for cell in column])}]" for key, column in columns.items()]
    return f"{{{','.join(said)}}}"


def _cell(value: Value) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f'{{"number":{number(value)}}}'
    # Half a surrogate pair stays one, and is replaced where the whole is encoded.
    return quoted(value) if isinstance(value, str) else json.dumps(value)
