"""A run outside a job: it prints what would be logged."""

from __future__ import annotations

import uuid
from typing import Any, Iterable, Mapping


class OfflineRun:
    """What ``Run.get_context()`` gives where there is no run. None of its calls fails."""

    def __init__(self, run_id: str | None = None) -> None:
        self._run_id = run_id or f"OfflineRun_{uuid.uuid4()}"

    @property
    def id(self) -> str:
        """A made-up id."""
        return self._run_id

    @property
    def parent(self) -> None:
        """It has none."""
        return

    def log(self, name: str, value: object, description: str = "", step: int | None = None) -> None:
        """Print it."""
        self._log("scalar", name, value)

    def log_list(self, name: str, value: Iterable[object], description: str = "") -> None:
        """Print it."""
        self._log("list", name, value)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Print it."""
        self._log("row", name, kwargs)

    def log_table(self, name: str, value: Mapping[str, Iterable[object]], description: str = "") -> None:
        """Print it."""
        self._log("table", name, value)

    def log_image(self, name: str, path: str | None = None, plot: Any = None, description: str = "") -> None:
        """Print it."""
        self._log("image", name, path if plot is None else plot)

    def log_confusion_matrix(self, name: str, value: object, description: str = "") -> None:
        """Print it."""
        self._log("confusion matrix", name, value)

    def log_accuracy_table(self, name: str, value: object, description: str = "") -> None:
        """Print it."""
        self._log("accuracy table", name, value)

    def log_residuals(self, name: str, value: object, description: str = "") -> None:
        """Print it."""
        self._log("residuals", name, value)

    def log_predictions(self, name: str, value: object, description: str = "") -> None:
        """Print it."""
        self._log("predictions", name, value)

    def upload_file(self, name: str, path_or_stream: object, datastore_name: str | None = None) -> None:
        """Print it."""
        self._say(f"file {name}", path_or_stream)

    def upload_files(self, names: Iterable[str], paths: Iterable[str], **_: object) -> None:
        """Print them."""
        self._say("files", dict(zip(names, paths)))

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:
        """Print it."""
        self._say(f"folder {name}", path)

    def tag(self, key: str, value: object = None) -> None:
        """Print it."""
        self._say(f"tag {key}", value)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Print them."""
        self._say("tags", tags)

    def add_properties(self, properties: Mapping[str, object]) -> None:
        """Print them."""
        self._say("properties", properties)

    def add_parameters(self, parameters: Mapping[str, object]) -> None:
        """Print them."""
        self._say("parameters", parameters)

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: str | None = None) -> OfflineRun:
        """Give one more of these."""
        return OfflineRun(run_id or f"{self.id}.{name or uuid.uuid4()}")

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Iterable[object] | None = None
    ) -> list[OfflineRun]:
        """Give several of these."""
        return [self.child_run() for _ in (range(count or 0) if tag_values is None else tag_values)]

    def get_metrics(self, *_: object, **__: object) -> dict[str, Any]:
        """Give nothing: nothing is kept."""
        return {}

    def get_status(self) -> str:
        """Say that it runs."""
        return "Running"

    def start(self) -> None:
        """Do nothing."""

    def flush(self, timeout_seconds: float = 300) -> None:
        """Do nothing."""

    def complete(self) -> None:
        """Do nothing."""

    def fail(self, error_details: object = None, error_code: str | None = None) -> None:
        """Print it."""
        self._say(f"failure {error_code or ''}".rstrip(), error_details)

    def cancel(self) -> None:
        """Do nothing."""

    def __enter__(self) -> OfflineRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"OfflineRun(id={self.id!r})"

    def _log(self, kind: str, name: str, value: object) -> None:
        self._say(f"{kind} {name}", value)

    def _say(self, what: str, value: object) -> None:
        try:
            print(f"runlog: no run, not logged: {what}: {value}")
        except Exception:
            # What cannot be shown, or a stdout that is closed, is no reason to fail.
            return
