"""What runs are gathered under."""

from __future__ import annotations

import html
from typing import Any, Iterable, Mapping, Sequence

from runlog.exceptions import UserErrorException
from runlog.run import Run
from runlog.workspace import Workspace

_NAME_CHARACTERS = 255


class Experiment:
    """An experiment. It is there as soon as it has a run."""

    def __init__(self, workspace: Workspace, name: str, **_: object) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= _NAME_CHARACTERS or not name.isprintable():
            raise UserErrorException(f"{name!r} cannot name an experiment: use 1 to {_NAME_CHARACTERS} characters")
        self._workspace = workspace
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def id(self) -> str:
        """Its name: there is no other id."""
        return self._name

    @property
    def workspace(self) -> Workspace:
        """Where its runs are kept."""
        return self._workspace

    def start_logging(
        self,
        outputs: str | None = None,
        snapshot_directory: str | None = None,
        display_name: str | None = None,
        run_id: str | None = None,
        **_: object,
    ) -> Run:
        """Start a run that is this program, such as a notebook.

        :param outputs: a folder whose files are kept when the run completes.
        :param snapshot_directory: a folder that is kept with the run, as it is now.
        :param display_name: a name for people.
        """
        run = Run.begin(self, outputs or None, display_name, run_id)
        if snapshot_directory:
            from runlog._snapshot import Snapshot  # noqa: PLC0415

            Snapshot(snapshot_directory).keep(run)
        return run

    def submit(self, config: Any, tags: Mapping[str, object] | None = None, **kwargs: Any) -> Run:
        """Run a script, which is a :class:`ScriptRunConfig`, as a run.

        :param show_output: wait for its end, and print what it prints.
        """
        from runlog.script import submit  # noqa: PLC0415

        return submit(self, config, tags or {}, **kwargs)

    def get_runs(
        self,
        type: str | None = None,  # noqa: A002
        tags: Mapping[str, object] | str | None = None,
        properties: Mapping[str, object] | None = None,
        include_children: bool = False,
    ) -> Iterable[Run]:
        """Give its runs, the newest first."""
        return Run.list(self, type, tags, properties, None, include_children)

    @staticmethod
    def list(workspace: Workspace, experiment_name: str | None = None) -> Sequence[Experiment]:
        """Give the experiments of which there are runs."""
        runs = workspace.delivery().api.get("/api/v1/runs").get("runs") or []
        names = dict.fromkeys([run["experiment"] for run in runs if run.get("experiment")])
        return [Experiment(workspace, name) for name in names if experiment_name in (None, name)]

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name}, Workspace: {self.workspace.name})"

    def _repr_html_(self) -> str:
        cells = "".join([f"<td>{html.escape(cell)}</td>" for cell in (self.name, self.workspace.name)])
        return f"<table><tr><th>Name</th><th>Workspace</th></tr><tr>{cells}</tr></table>"
