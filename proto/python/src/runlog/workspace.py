"""Where runs are kept."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runlog import _surroundings
from runlog._delivery import Delivery, Places, delivery
from runlog.exceptions import UserErrorException

if TYPE_CHECKING:
    from runlog.experiment import Experiment

_CONFIGS = (os.path.join(".azureml", "config.json"), os.path.join("aml_config", "config.json"), "config.json")


class Workspace:
    """An agent of this machine, or a ``runlog serve`` of a team.

    >>> Workspace()  # the agent that RUNLOG_SOCKET says, or that is found
    >>> Workspace(address="http://store:4319")

    It is there at once; nothing is asked.

    :param name: of the project that its experiments belong to: ``service.namespace``.
    :param address: where ``runlog serve`` or an agent listens.
    :param socket: where an agent of this machine listens.
    :param spool: the folder in which an agent looks for what nobody took.
    :param token: that the server wants.
    """

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        *,
        name: str = "",
        address: str = "",
        socket: str = "",
        spool: str = "",
        token: str = "",
        **_: object,
    ) -> None:
        if address.startswith("https:") or "\n" in token or "\r" in token:
            remedy = "start an agent here that exports to it (RUNLOG_EXPORT_ENDPOINT)"
            raise UserErrorException(f"{address}: only http is spoken here, and a token is one line; {remedy}")
        self._name = name or workspace_name or ""
        self._subscription_id = subscription_id or ""
        self._resource_group = resource_group or ""
        self._places = Places(address, socket, spool, token)
        self._way: Delivery | None = None

    @classmethod
    def from_config(cls, path: str | None = None, **_: object) -> Workspace:
        """Give the one that a ``config.json`` names, here or further up; without one, the agent of this machine.

        Beside azureml's ``workspace_name`` it may say ``address`` and ``token``.
        """
        said = _config(path)
        given = {key: str(said.get(key) or "") for key in ("subscription_id", "resource_group", "workspace_name")}
        return cls(address=str(said.get("address") or ""), token=str(said.get("token") or ""), **given)

    @classmethod
    def get(cls, name: str, **given: Any) -> Workspace:
        """Give the one of that name."""
        return cls(name=name, **given)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name or "default"

    @property
    def location(self) -> str:
        """Where it is."""
        return self._places.address or self._places.socket or "local"

    @property
    def subscription_id(self) -> str:
        """What the configuration says; it means nothing here."""
        return self._subscription_id

    @property
    def resource_group(self) -> str:
        """What the configuration says; it means nothing here."""
        return self._resource_group

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The experiments of which there are runs, by name."""
        from runlog.experiment import Experiment  # noqa: PLC0415

        return {one.name: one for one in Experiment.list(self)}

    @property
    def namespace(self) -> str:
        """What ``service.namespace`` is; empty if it was given no name."""
        return self._name

    def delivery(self) -> Delivery:
        """Give the way there, of this process."""
        way = self._way
        if way is None:
            way = self._way = delivery(self._places)
        return way

    def get_details(self) -> dict[str, str]:
        """Give what is known of it."""
        return {"name": self.name, "location": self.location, "state": _surroundings.state_dir(os.environ) or ""}

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, location={self.location!r})"


def _config(path: str | None) -> dict[str, object]:
    start = os.path.abspath(path or os.curdir)
    if path and os.path.isfile(start):
        return _read(start)
    if path and not os.path.isdir(start):
        raise UserErrorException(f"{path} is neither a file nor a folder")
    folder = start
    while True:
        for name in _CONFIGS:
            candidate = os.path.join(folder, name)
            if os.path.isfile(candidate):
                said = _read(candidate, is_meant=path is not None)
                # Many programs have a config.json.
                if path is not None or "workspace_name" in said or "address" in said:
                    return said
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return {}


def _read(path: str, is_meant: bool = True) -> dict[str, object]:
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError) as error:
        if not is_meant:
            return {}
        raise UserErrorException(f"{path} cannot be read: {error}") from error
    return said if isinstance(said, dict) else {}
