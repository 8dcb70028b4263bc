"""What the spool knows of a run while no agent answers.

A run that was started without an agent lies whole in the spool until one takes it. It is answered from there in the
words of the Run API. A run whose start is not there is not answered, since its beginning is somewhere else.
"""

from __future__ import annotations

import json
import os
from typing import IO, Any, Iterator, NamedTuple

from runlog._spool import SUFFIX

_PIECE_BYTES = 256 * 1024
_ENDS = {"success": "completed", "failure": "failed", "cancellation": "canceled"}
#: What begins a run.
_STARTS = ("ml.run.start", "ml.run.status")


class _Event(NamedTuple):
    time: int
    name: str
    body: str
    resource: dict[str, Any]
    said: dict[str, Any]


class Left:
    """What lies in a spool of one run and of its descendants."""

    def __init__(self, folder: str, run_id: str) -> None:
        """Read it."""
        self._folder = folder
        self._run_id = run_id
        self._events = sorted(_events(folder), key=lambda event: event.time)
        self._own = [event for event in self._events if event.resource.get("ml.run.id") == run_id]

    @property
    def is_whole(self) -> bool:
        """Whether the run began here.

        One that was only prepared here was begun by ``runlog exec``: the store has what its script has said.
        """
        return any(event.name in _STARTS and event.said.get("ml.run.status") != "preparing" for event in self._own)

    def answer(self, what: str, query: dict[str, object]) -> Any:
        """Answer a question as the Run API does."""
        if what == "/metrics":
            return {"metrics": self._metrics(query)}
        if what == "/files":
            return {"files": [self._files()[name] for name in sorted(self._files())]}
        if what == "/logs":
            lines = [{"body": event.body} for event in self._own if not event.name]
            tail = query.get("tail")
            return {"lines": lines[-tail:] if isinstance(tail, int) else lines, "more": False}
        return self._run()

    def copy(self, name: str, into: IO[bytes]) -> bool:
        """Copy a file of the run. Says whether it is there."""
        file = self._files().get(name)
        path = os.path.join(self._folder, "files", str(file["sha256"])) if file else ""
        if not path or not os.path.isfile(path):
            return False
        with open(path, "rb") as kept:
            for piece in iter(lambda: kept.read(_PIECE_BYTES), b""):
                into.write(piece)
        return True

    def _run(self) -> dict[str, Any]:
        run: dict[str, Any] = {
            "run_id": self._run_id,
            "status": "running",
            "tags": {},
            "parameters": {},
            "properties": {},
        }
        run["records"], run["events"] = len(self._own), len([event for event in self._own if event.name])
        for event in self._own:
            said = event.said
            run["experiment"] = event.resource.get("ml.experiment.name", "")
            run["name"] = event.resource.get("ml.run.name", "")
            run["parent_run_id"] = event.resource.get("ml.run.parent.id", "")
            if event.name == "ml.run.tag":
                run["tags"][said.get("ml.run.tag.key")] = said.get("ml.run.tag.value")
            elif event.name == "ml.run.param":
                run["parameters"].setdefault(said.get("ml.run.param.key"), said.get("ml.run.param.value"))
            elif event.name == "ml.run.property":
                run["properties"].setdefault(said.get("ml.run.property.key"), said.get("ml.run.property.value"))
            elif event.name == "ml.run.start":
                run["status"] = "running"
                run.setdefault("start_time_unix_nano", event.time)
            elif event.name == "ml.run.status":
                run["status"] = said.get("ml.run.status")
            elif event.name == "ml.run.end":
                run["status"] = _ENDS.get(str(said.get("ml.run.result")), "failed")
                run["end_time_unix_nano"] = event.time
                run["error_code"] = said.get("error.type", "")
                run["error_message"] = said.get("exception.message", "")
                if "process.exit.code" in said:
                    run["exit_code"] = said["process.exit.code"]
        return run

    def _metrics(self, query: dict[str, object]) -> dict[str, Any]:
        wanted = self._family() if query.get("recursive") else {self._run_id}
        found: dict[str, Any] = {}
        for event in self._events:
            if event.resource.get("ml.run.id") not in wanted:
                continue
            said = event.said
            name = said.get("ml.metric.name") or said.get("ml.table.name")
            if not name or query.get("name") not in (None, "", name):
                continue
            if event.name in ("ml.metric", "ml.list"):
                metric = found.setdefault(name, {"values": []})
                value = said.get("ml.metric.value", said.get("ml.metric.text"))
                if "values" in metric:
                    metric["values"] += said["ml.list.values"] if event.name == "ml.list" else [value]
            elif event.name in ("ml.row", "ml.table"):
                metric = found.setdefault(name, {"columns": {}, "rows": 0})
                if "columns" in metric:
                    _add_rows(metric, _table(event))
        return found

    def _family(self) -> set[str]:
        parents = {
            str(event.resource["ml.run.id"]): str(event.resource.get("ml.run.parent.id"))
            for event in self._events
            if "ml.run.id" in event.resource
        }
        family = {self._run_id}
        while True:
            more = {run for run, parent in parents.items() if parent in family} - family
            if not more:
                return family
            family |= more

    def _files(self) -> dict[str, dict[str, Any]]:
        start = "ml.artifact."
        files = {}
        for event in self._own:
            if event.name == "ml.artifact":
                file = {key[len(start) :]: value for key, value in event.said.items() if key.startswith(start)}
                files[str(file["name"])] = file
        return files


def _table(event: _Event) -> dict[str, list[Any]]:
    if event.name == "ml.row":
        return {column: [cell] for column, cell in event.said.get("ml.row", {}).items()}
    table: dict[str, list[Any]] = json.loads(event.said["ml.table.data"])
    return table


def _add_rows(metric: dict[str, Any], table: dict[str, list[Any]]) -> None:
    count = max([len(cells) for cells in table.values()], default=0)
    for column in [*metric["columns"], *table]:
        cells = metric["columns"].setdefault(column, [None] * metric["rows"])
        # A column may stand in both.
        if len(cells) == metric["rows"]:
            cells += table.get(column, [None] * count)
    metric["rows"] += count


def _events(folder: str) -> Iterator[_Event]:
    try:
        names = [name for name in sorted(os.listdir(folder)) if name.endswith(SUFFIX) and not name.startswith(".")]
    except FileNotFoundError:
        return
    for name in names:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            # An agent has just taken it.
            continue
        for line in lines:
            yield from _of_request(json.loads(line))


def _of_request(request: dict[str, Any]) -> Iterator[_Event]:
    for about in request.get("resourceLogs", ()):
        resource = _attributes(about.get("resource", {}))
        for scope in about.get("scopeLogs", ()):
            for record in scope.get("logRecords", ()):
                body = str(record.get("body", {}).get("stringValue", ""))
                moment = int(record.get("timeUnixNano", 0))
                yield _Event(moment, record.get("eventName", ""), body, resource, _attributes(record))


def _attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _plain(pair.get("value", {})) for pair in of.get("attributes", ())}


def _plain(value: dict[str, Any]) -> Any:
    """Give an ``AnyValue`` as Python has it."""
    for kind, said in value.items():
        if kind == "intValue":
            return int(said)
        if kind == "doubleValue":
            return float(said)
        if kind == "arrayValue":
            return [_plain(one) for one in said.get("values", ())]
        if kind == "kvlistValue":
            return {pair["key"]: _plain(pair.get("value", {})) for pair in said.get("values", ())}
        return said
    return None
