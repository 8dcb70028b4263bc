"""A file of a run that was given a name to be found by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runlog.exceptions import UserErrorException

if TYPE_CHECKING:
    from runlog.run import Run

#: A run has this tag, with the model's name behind it, for each of its models.
_TAG = "runlog.model."


class Model(NamedTuple):
    """A model."""

    name: str
    #: The first one of that name is 1.
    version: int
    run_id: str
    #: Its file, or the folder of its files.
    path: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"runlog://{self.run_id}/{self.path}"

    @property
    def id(self) -> str:
        """Its name and version."""
        return f"{self.name}:{self.version}"


def register(run: Run, name: str, path: str | None) -> Model:
    """Give a file of a run that name."""
    wanted = (path or name).replace("\\", "/")
    while wanted.startswith("./"):
        wanted = wanted[2:]
    names = run.get_file_names()
    if wanted not in names and not any(file.startswith(f"{wanted}/") for file in names):
        raise UserErrorException(f"the run {run.id} has no file {wanted!r}; it has: {', '.join(names) or 'none'}")
    tag = f"{_TAG}{name}"
    others = run.experiment.workspace.delivery().api.get("/api/v1/runs", tag=tag, limit=10_000).get("runs") or []
    run.tag(tag, wanted)
    run.flush()
    return Model(name, 1 + len([one for one in others if one["run_id"] != run.id]), run.id, wanted)
