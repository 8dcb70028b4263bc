"""How a script is run: in the environment of a Python that is there already."""

from __future__ import annotations

from typing import Iterable

#: azureml's default image. It has a name here so that a notebook can mention it.
DEFAULT_CPU_IMAGE = ""
DEFAULT_GPU_IMAGE = ""


class CondaDependencies:
    """What a conda environment would have. None is made here."""

    def __init__(self, conda_packages: Iterable[str] = (), pip_packages: Iterable[str] = ()) -> None:
        self.conda_packages = list(conda_packages)
        self.pip_packages = list(pip_packages)

    @staticmethod
    def create(
        pip_packages: Iterable[str] | None = None, conda_packages: Iterable[str] | None = None, **_: object
    ) -> CondaDependencies:
        """Give one with these packages."""
        return CondaDependencies(conda_packages or (), pip_packages or ())


class PythonSection:
    """Which Python."""

    def __init__(self) -> None:
        #: Whether its packages are the user's affair. Nothing is installed either way.
        self.user_managed_dependencies = True
        #: Empty is the one that this program runs in.
        self.interpreter_path = ""
        self.conda_dependencies: CondaDependencies | None = None


class DockerSection:
    """Which container. None is started here."""

    def __init__(self) -> None:
        self.enabled = False
        self.base_image = DEFAULT_CPU_IMAGE


class Environment:
    """What a script finds."""

    def __init__(self, name: str = "", **_: object) -> None:
        self.name = name
        self.python = PythonSection()
        self.docker = DockerSection()
        #: Set for the script, beside those of this program.
        self.environment_variables: dict[str, str] = {}


class RunConfiguration:
    """How a script is run."""

    def __init__(self, **_: object) -> None:
        self.environment = Environment()
        self.auto_prepare_environment = True
        self.target = "local"

    @property
    def environment_variables(self) -> dict[str, str]:
        """Those of its environment."""
        return self.environment.environment_variables

    @environment_variables.setter
    def environment_variables(self, variables: dict[str, str]) -> None:
        self.environment.environment_variables = variables
