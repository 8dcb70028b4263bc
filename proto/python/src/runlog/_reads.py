"""What is asked of a run. These calls wait for the agent, and fail without one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from datetime import datetime, timezone
from typing import IO, Any, Iterable, Iterator

from runlog._api import Api, AwayError, part
from runlog._delivery import Delivery
from runlog._left import Left
from runlog.exceptions import ServiceException, UserErrorException

#: The store's words, and azureml's.
_STATUSES = {
    "queued": "Queued",
    "preparing": "Preparing",
    "starting": "Starting",
    "running": "Running",
    "finalizing": "Finalizing",
    "completed": "Completed",
    "failed": "Failed",
    "canceled": "Canceled",
    "cancel_requested": "CancelRequested",
    "not_responding": "NotResponding",
}
ENDED = frozenset({"Completed", "Failed", "Canceled"})
#: What a run printed, under the name that azureml has for it.
STD_LOG = "user_logs/std_log.txt"
#: How long a question waits for what this process has said itself.
_FLUSH_SECONDS = 30.0
_NOT_FOUND = 404
_LINES = 10_000


class Reads:
    """What can be asked."""

    @property
    def id(self) -> str:
        """The run's id."""
        raise NotImplementedError

    @property
    def _delivery(self) -> Delivery:
        raise NotImplementedError

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        """Give what was logged, by name.

        What was logged once is a bare value, what was logged more often is a list; a table is a map of these, by
        column. A picture, or JSON such as a confusion matrix, is the address of its file.

        :param name: of one metric; else of all.
        :param recursive: with those of all descendants.
        :param populate: JSON as itself, in place of its address.
        """
        del run_type
        answer = self._ask("/metrics", name=name, recursive=1 if recursive else None)
        metrics = {key: _metric(metric) for key, metric in (answer.get("metrics") or {}).items()}
        if populate:
            return {key: self._populated(value) for key, value in metrics.items()}
        return metrics

    def get_status(self) -> str:
        """Give where the run stands: Queued, Running, Completed, Failed, Canceled and so on."""
        return status_of(self._run())

    def get_details(self) -> dict[str, Any]:
        """Give all that is known of the run, as azureml names it."""
        run = self._run()
        details: dict[str, Any] = {
            "runId": run.get("run_id", self.id),
            "target": run.get("host") or "local",
            "status": status_of(run),
            "properties": pairs_of(run, "properties"),
            "tags": pairs_of(run, "tags"),
            "parameters": pairs_of(run, "parameters"),
            "inputDatasets": [],
            "outputDatasets": [],
            "runDefinition": {"experiment": run.get("experiment", "")},
            "logFiles": {STD_LOG: f"runlog://{self.id}/{STD_LOG}"} if _has_printed(run) else {},
        }
        for key, field in (("startTimeUtc", "start_time_unix_nano"), ("endTimeUtc", "end_time_unix_nano")):
            moment = int(run.get(field) or 0)
            if moment:
                details[key] = datetime.fromtimestamp(moment / 1e9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if run.get("exit_code") is not None:
            details["exitCode"] = run["exit_code"]
        if details["status"] == "Failed":
            details["error"] = {"error": {"code": run.get("error_code") or "", "message": _error_of(run)}}
        return details

    def get_details_with_logs(self) -> dict[str, Any]:
        """Give the same with what the run printed."""
        details = self.get_details()
        details["logFiles"] = {name: "".join(self._printed()) for name in details["logFiles"]}
        return details

    def get_all_logs(self, destination: str | None = None) -> list[str]:
        """Write what the run printed into a folder, and give the names of the files."""
        path = os.path.join(destination or part(self.id), *STD_LOG.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.writelines(self._printed())
        return [path]

    def get_tags(self) -> dict[str, Any]:
        """Give the tags."""
        return pairs_of(self._run(), "tags")

    def get_properties(self) -> dict[str, Any]:
        """Give the properties."""
        return pairs_of(self._run(), "properties")

    def get_parameters(self) -> dict[str, Any]:
        """Give what the training was set to."""
        return pairs_of(self._run(), "parameters")

    def get_file_names(self) -> list[str]:
        """Give the names of the run's files."""
        return [file["name"] for file in self._files()]

    def download_file(self, name: str, output_file_path: str | None = None) -> None:
        """Write a file of the run into a file here: of the same name unless another is given."""
        path = output_file_path or os.path.basename(name)
        if os.path.isdir(path):
            path = os.path.join(path, os.path.basename(name))
        self._download(name, path)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: Iterable[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        """Write all files of the run, or those whose names begin so, into a folder."""
        del batch_size, timeout_seconds
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        if not names:
            raise UserErrorException(f"the run {self.id} has no file whose name begins with {prefix or ''!r}")
        if output_paths is not None:
            paths = list(output_paths)
            if len(paths) != len(names):
                raise UserErrorException(f"there are {len(names)} files, and {len(paths)} output_paths")
        else:
            kept = [name if append_prefix or not prefix else name[len(prefix) :].lstrip("/") for name in names]
            paths = [os.path.join(output_directory or ".", *name.split("/")) for name in kept]
        for name, path in zip(names, paths):
            self._download(name, path)

    def last_lines(self, count: int) -> list[str]:
        """Give what the run printed last."""
        lines = self._ask("/logs", events=0, tail=count).get("lines") or ()
        return [str(line.get("body", "")) for line in lines]

    def follow(self) -> Iterator[str]:
        """Give what the run prints, line by line, until it ends."""
        query = {"events": 0, "limit": _LINES}
        for answer in self._api.follow(f"{self._path}/logs", follow=1, **query):
            for line in answer.get("lines") or ():
                yield str(line.get("body", ""))
            if not answer.get("more") and self.get_status() in ENDED:
                return

    @property
    def _api(self) -> Api:
        return self._delivery.api

    @property
    def _path(self) -> str:
        return f"/api/v1/runs/{part(self.id)}"

    def _ask(self, what: str, **query: object) -> Any:
        """Ask for something of the run, after what was said of it here."""
        self._delivery.flush(_FLUSH_SECONDS)
        try:
            return self._api.get(self._path + what, **query)
        except ServiceException as error:
            is_unknown = error.status_code == _NOT_FOUND
            if not is_unknown and not isinstance(error, AwayError):
                raise
            left = self._left()
            if left is not None:
                return left.answer(what, query)
            if not is_unknown:
                raise
        # An agent may have taken it from the spool meanwhile.
        return self._api.get(self._path + what, **query)

    def _left(self) -> Left | None:
        """Give what the spool has of the run, if it has all of it."""
        folder = self._delivery.places.folder()
        left = Left(folder, self.id) if folder else None
        return left if left is not None and left.is_whole else None

    def _run(self) -> dict[str, Any]:
        answer = self._ask("")
        run: dict[str, Any] = answer.get("run", answer)
        return run

    def _files(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = [one for one in self._ask("/files").get("files") or () if one["kind"] != "folder"]
        return files

    def _printed(self) -> Iterator[str]:
        after = None
        while True:
            answer = self._ask("/logs", events=0, limit=_LINES, after=after)
            for line in answer.get("lines") or ():
                yield f"{line.get('body', '')}\n"
            if not answer.get("more") or answer.get("next") == after:
                return
            after = answer["next"]

    def _download(self, name: str, path: str) -> None:
        self._delivery.flush(_FLUSH_SECONDS)
        folder = os.path.dirname(path) or "."
        os.makedirs(folder, exist_ok=True)
        # It gets its name when it is whole.
        file, draft = tempfile.mkstemp(dir=folder, prefix=".runlog-")
        try:
            with os.fdopen(file, "wb") as opened:
                self._copy(name, opened)
            # As an ordinary file is.
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(draft, 0o666 & ~mask)
            os.replace(draft, path)
        except ServiceException as error:
            raise UserErrorException(f"the file {name!r} of the run {self.id} cannot be read: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(draft)

    def _copy(self, name: str, into: IO[bytes]) -> None:
        try:
            self._api.download(f"{self._path}/files/{'/'.join([part(one) for one in name.split('/')])}", into)
        except AwayError:
            left = self._left()
            if left is None or not left.copy(name, into):
                raise

    def _populated(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._populated(one) for one in value]
        start = f"runlog://{self.id}/"
        if not isinstance(value, str) or not value.startswith(start) or value.endswith(".png"):
            return value
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "value")
            self._download(value[len(start) :], path)
            with open(path, "rb") as file:
                try:
                    return json.loads(file.read())
                except ValueError:
                    return value


def status_of(run: dict[str, Any]) -> str:
    """Give azureml's word for a run's status."""
    status = str(run.get("status") or "running")
    return _STATUSES.get(status, status)


def pairs_of(run: dict[str, Any], field: str) -> dict[str, Any]:
    """Give tags and the like."""
    return {key: _value(value) for key, value in (run.get(field) or {}).items()}


def _metric(metric: dict[str, Any]) -> Any:
    columns = metric.get("columns")
    if columns:
        return {column: _bare([_value(cell) for cell in cells or ()]) for column, cells in columns.items()}
    return _bare([_value(value) for value in metric.get("values") or ()])


def _bare(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _value(said: Any) -> Any:
    if isinstance(said, dict):
        return float(said.get("number", "nan"))
    return said


def _has_printed(run: dict[str, Any]) -> bool:
    return int(run.get("records") or 0) > int(run.get("events") or 0)


def _error_of(run: dict[str, Any]) -> str:
    if run.get("error_message"):
        return str(run["error_message"])
    code = run.get("exit_code")
    return "why is not known" if code is None else f"the exit code is {code}"
