"""The names of ``azureml.core``: a program is ported by writing ``runlog`` for ``azureml`` in its imports."""

from runlog import VERSION, Experiment, Run, RunConfiguration, ScriptRunConfig, Workspace, __version__
from runlog.runconfig import Environment

__all__ = [
    "VERSION",
    "Environment",
    "Experiment",
    "Run",
    "RunConfiguration",
    "ScriptRunConfig",
    "Workspace",
    "__version__",
]
