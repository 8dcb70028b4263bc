"""A run: what it logs, how it ends, what is known of it."""

from __future__ import annotations

import html
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from runlog._delivery import Delivery
from runlog._event import ERROR, INFO, WARN, Said
from runlog._reads import ENDED, STD_LOG, Reads, pairs_of, status_of
from runlog._record import attribute
from runlog._surroundings import Attributes
from runlog._value import any_value
from runlog._verbs import Verbs, failure
from runlog.exceptions import (
    ActivityFailedException,
    ExperimentExecutionException,
    ServiceException,
    UserErrorException,
)
from runlog.model import Model, register

if TYPE_CHECKING:
    from runlog.experiment import Experiment
    from runlog.offline import OfflineRun

#: How often a run that is waited for is asked for.
_LOOK_SECONDS = 0.5
#: azureml has no more children at once.
_MOST_CHILDREN = 100
#: How long an end waits for what was logged before it.
FLUSH_SECONDS = 300
_ID_CHARACTERS = 256

#: What ends a run, and how OpenTelemetry names it.
_RESULTS = {"Completed": "success", "Failed": "failure", "Canceled": "cancellation"}


class Run(Verbs, Reads):
    """A run.

    >>> run = Experiment(Workspace(), "ridge").start_logging()
    >>> run.log("mse", 3424.3)
    >>> run.complete()

    or, in a script that was submitted or is run by ``runlog exec``, ``Run.get_context()``. With an experiment and an
    id it is a run that there is already.

    :param outputs: a folder whose files are kept when the run completes.
    """

    def __init__(self, experiment: Experiment, run_id: str, outputs: str | None = None, **_: object) -> None:
        if not run_id or len(run_id) > _ID_CHARACTERS or not run_id.isprintable():
            raise UserErrorException(f"{run_id!r} cannot be the id of a run: use 1 to {_ID_CHARACTERS} characters")
        self._experiment = experiment
        self._id = run_id
        self._outputs = outputs
        self._name = ""
        self._parent_id = ""
        #: How it ended, if it was ended here.
        self._ended = ""
        self._resource = ""
        self._kinds = {}

    @classmethod
    def get_context(cls, allow_offline: bool = True, **_: object) -> Run | OfflineRun:
        """Give the run that this program is: that of ``RUNLOG_RUN_ID``. Outside a run, one that prints."""
        from runlog.experiment import Experiment  # noqa: PLC0415
        from runlog.offline import OfflineRun  # noqa: PLC0415
        from runlog.workspace import Workspace  # noqa: PLC0415

        run_id = os.environ.get("RUNLOG_RUN_ID", "")
        if run_id:
            try:
                experiment = Experiment(Workspace(), os.environ.get("RUNLOG_EXPERIMENT") or "default")
                return SubmittedRun(experiment, run_id)
            except UserErrorException:
                if not allow_offline:
                    raise
        if not allow_offline:
            raise ExperimentExecutionException("there is no run: RUNLOG_RUN_ID is not set")
        return OfflineRun()

    @classmethod
    def begin(
        cls,
        experiment: Experiment,
        outputs: str | None = None,
        display_name: str | None = None,
        run_id: str | None = None,
        parent: Run | None = None,
    ) -> Run:
        """Start one."""
        run = Run(experiment, run_id or str(uuid.uuid4()), outputs)
        run._name = display_name or ""
        if parent is not None:
            run._parent_id = parent.id
        run.start()
        return run

    @staticmethod
    def get(workspace: Any, run_id: str) -> Run:
        """Give the run with that id, or with an id that begins so."""
        found = workspace.delivery().api.get(f"/api/v1/runs/{run_id}")
        return Run.known(workspace, found.get("run", found))

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,  # noqa: A002
        tags: Mapping[str, object] | str | None = None,
        properties: Mapping[str, object] | None = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterable[Run]:
        """Give the runs of an experiment, the newest first."""
        del type
        query = {"experiment": experiment.name, "status": (status or "").lower()}
        for run in _pages(experiment.workspace, query):
            if run.get("parent_run_id") and not include_children:
                continue
            if _has(run, "tags", tags) and _has(run, "properties", properties):
                yield Run.known(experiment.workspace, run)

    @staticmethod
    def known(workspace: Any, said: dict[str, Any]) -> Run:
        """Give the run that was answered."""
        from runlog.experiment import Experiment  # noqa: PLC0415

        run = Run(Experiment(workspace, said.get("experiment") or "default"), str(said["run_id"]))
        run._name = str(said.get("name") or "")
        run._parent_id = str(said.get("parent_run_id") or "")
        return run

    @property
    def id(self) -> str:
        """Its id."""
        return self._id

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self._name

    @property
    def display_name(self) -> str:
        """Its name, or else its id."""
        return self._name or self._id

    @property
    def experiment(self) -> Experiment:
        """The experiment that it belongs to."""
        return self._experiment

    @property
    def status(self) -> str:
        """Where it stands."""
        return self.get_status()

    @property
    def tags(self) -> dict[str, Any]:
        """Its tags."""
        return self.get_tags()

    @property
    def properties(self) -> dict[str, Any]:
        """Its properties."""
        return self.get_properties()

    @property
    def parent(self) -> Run | None:
        """The run that it is a part of."""
        parent = self._parent_id
        if not parent:
            parent = str(self._run().get("parent_run_id") or "")
        return Run(self._experiment, parent) if parent else None

    def start(self) -> None:
        """Say that it runs."""
        self._ended = ""
        self._tell("ml.run.start", f"run {self.display_name} started", [])

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: str | None = None) -> Run:
        """Start a part of it, which is a run of its own."""
        name = ">".join([part for part in (self._name, name) if part]) if name else None
        return Run.begin(self._experiment, outputs, name, run_id, parent=self)

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Iterable[object] | None = None
    ) -> Sequence[Run]:
        """Start several: so many, or one for each value of a tag."""
        if (count is None) == (tag_key is None) or (tag_key is None) != (tag_values is None):
            raise UserErrorException("create_children takes either count, or both of tag_key and tag_values")
        key = tag_key or "runlog.child"
        values = [*(range(count) if count is not None else tag_values or ())]
        if len(values) > _MOST_CHILDREN:
            raise UserErrorException(f"create_children starts up to {_MOST_CHILDREN} runs, not {len(values)}")
        children = []
        for value in values:
            children.append(self.child_run())
            children[-1].tag(key, value)
        return children

    def get_children(
        self,
        recursive: bool = False,
        tags: Mapping[str, object] | str | None = None,
        properties: Mapping[str, object] | None = None,
        type: str | None = None,  # noqa: A002
        status: str | None = None,
    ) -> Iterable[Run]:
        """Give its parts, the newest first."""
        del type
        self._delivery.flush(FLUSH_SECONDS)
        for said in _pages(self._experiment.workspace, {"parent": self.id}):
            child = Run.known(self._experiment.workspace, said)
            if status in (None, status_of(said)) and _has(said, "tags", tags) and _has(said, "properties", properties):
                yield child
            if recursive:
                yield from child.get_children(True, tags, properties, None, status)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all that was logged is safe."""
        if not self._delivery.flush(timeout_seconds):
            self._warn(f"not all is safe that was logged in the last moment: {timeout_seconds} s were not enough")

    def complete(self) -> None:
        """End it well."""
        self._collect()
        self._end("Completed", f"run {self.display_name} completed", [])

    def fail(self, error_details: object = None, error_code: str | None = None) -> None:
        """End it as one that failed.

        :param error_details: what went wrong: a sentence, or an exception.
        :param error_code: one word for it; ``UserError`` without one.
        """
        message, said = failure(error_details, error_code)
        self._collect()
        self._end("Failed", f"run {self.display_name} failed: {message}", said, 21)

    def cancel(self) -> None:
        """End it as one that is no longer wanted."""
        self._end("Canceled", f"run {self.display_name} was canceled", [], WARN)

    def register_model(self, model_name: str, model_path: str | None = None, **_: object) -> Model:
        """Give a file of the run, or a folder of files, a name to be found by."""
        return register(self, model_name, model_path)

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Wait for its end, and give :meth:`get_details`.

        :param show_output: print what it prints.
        :param raise_on_error: fail if it has failed.
        """
        del wait_post_processing
        try:
            if show_output:
                print(f"RunId: {self.id}\n", flush=True)
            self._watch(show_output)
        except KeyboardInterrupt:
            if not self._is_asked_to_cancel():
                raise ExperimentExecutionException(
                    f"the run {self.id} goes on, its output is no longer shown. "
                    f"To cancel it: run.cancel(), or: runlog run cancel {self.id}"
                ) from None
            self.cancel()
        details = self._final_details()
        if show_output:
            print(f"\nExecution Summary\n=================\nRunId: {self.id}\nStatus: {details['status']}", flush=True)
        if details["status"] == "Failed" and raise_on_error:
            said = details.get("error", {}).get("error", {})
            raise ActivityFailedException(f"the run {self.id} failed: {said.get('message') or 'why is not known'}")
        return details

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.complete()
        elif isinstance(error, KeyboardInterrupt):
            self.cancel()
        else:
            self.fail(error)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment.name}, Id: {self.id}, Status: {self._status_now()})"

    def _repr_html_(self) -> str:
        cells = [self._experiment.name, self.id, self._status_now()]
        heads = "".join([f"<th>{head}</th>" for head in ("Experiment", "Id", "Status")])
        return f"<table><tr>{heads}</tr><tr>{''.join([f'<td>{html.escape(cell)}</td>' for cell in cells])}</tr></table>"

    @property
    def _delivery(self) -> Delivery:
        return self._experiment.workspace.delivery()

    def _tell(self, name: str, body: str, said: Iterable[Said], severity: int = INFO) -> None:
        self._delivery.tell(self._described(), name, body, said, severity)

    def _print(self, line: str, stream: str) -> None:
        """Log a line that a script of this run printed."""
        self._delivery.line(self._described(), line, stream)

    def _described(self) -> str:
        if not self._resource:
            known = self._identity()
            self._resource = ",".join([attribute(key, value) for key, value in known if value])
        return self._resource

    def _identity(self) -> Attributes:
        return [
            ("telemetry.sdk.name", "runlog"),
            ("telemetry.sdk.language", "python"),
            ("service.name", self._experiment.name),
            ("service.namespace", self._experiment.workspace.namespace),
            ("ml.run.id", self._id),
            ("ml.run.name", self._name),
            ("ml.run.parent.id", self._parent_id),
            ("ml.experiment.name", self._experiment.name),
        ]

    def _collect(self) -> None:
        """Keep the files of the outputs folder."""
        if self._outputs and os.path.isdir(self._outputs):
            try:
                self.upload_folder(os.path.basename(os.path.abspath(self._outputs)), self._outputs)
            except UserErrorException as error:
                self._warn(f"the outputs are not all kept: {error}")

    def _end(self, status: str, body: str, said: Iterable[Said], severity: int = INFO) -> None:
        if self._ended:
            self._warn(f"the run {self.id} has ended already, as {self._ended}")
            return
        if status == "Canceled":
            # What is waited for may be what is not wanted any more.
            self._tell("ml.run.end", body, [("ml.run.result", any_value(_RESULTS[status])), *said], severity)
            self.flush()
        else:
            self.flush()
            self._tell("ml.run.end", body, [("ml.run.result", any_value(_RESULTS[status])), *said], severity)
            self._delivery.flush(FLUSH_SECONDS)
        self._ended = status

    def _watch(self, show_output: bool) -> None:
        """Wait for the end, and print what is printed until then."""
        if show_output:
            print(f"Streaming {STD_LOG}\n", flush=True)
            for line in self.follow():
                print(line, flush=True)
        while self.get_status() not in ENDED:
            time.sleep(_LOOK_SECONDS)

    def _final_details(self) -> dict[str, Any]:
        return self.get_details()

    def _is_asked_to_cancel(self) -> bool:
        """Ask who has pressed Ctrl-C, where there is somebody to answer."""
        if sys.stdin is None or not sys.stdin.isatty():
            return False
        try:
            answer = input("\nThe run goes on. Cancel it as well? [y/N] ")
        except (EOFError, KeyboardInterrupt):
            return False
        return answer.strip().lower() in ("y", "yes")

    def _status_now(self) -> str:
        try:
            return self.get_status()
        except ServiceException:
            return self._ended or "Running"


class SubmittedRun(Run):
    """The run that this program is. Whoever runs the program knows how it ends, and says it."""

    def _identity(self) -> Attributes:
        attempt = os.environ.get("RUNLOG_ATTEMPT", "")
        return [*super()._identity(), ("ml.run.attempt", attempt)]

    def complete(self) -> None:
        """Wait until all that was logged is safe. The run completes when the program ends well."""
        self.flush()

    def fail(self, error_details: object = None, error_code: str | None = None) -> None:
        """Log what went wrong. The run fails if the program ends so, or if it is told here."""
        message, said = failure(error_details, error_code)
        self._tell("ml.alert", f"the program says that it failed: {message}", said, ERROR)
        self.flush()

    def cancel(self) -> None:
        """Wait until all that was logged is safe; who runs the program cancels it."""
        self.flush()


def _pages(workspace: Any, query: Mapping[str, object]) -> Iterable[dict[str, Any]]:
    """Give all runs that a question is answered with."""
    api, last = workspace.delivery().api, None
    while True:
        runs = api.get("/api/v1/runs", before=last, **query).get("runs") or []
        yield from runs
        if not runs or runs[-1]["run_id"] == last or len(runs) < 1000:
            return
        last = runs[-1]["run_id"]


def _has(run: dict[str, Any], field: str, wanted: Mapping[str, object] | str | None) -> bool:
    found = pairs_of(run, field)
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted in found
    return all(key in found and (value is None or found[key] == str(value)) for key, value in wanted.items())
