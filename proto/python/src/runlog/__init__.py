"""Python's ``logging``, and what a training logs itself, into runlog.

>>> import logging, runlog
>>> runlog.basicConfig(level=logging.DEBUG)
>>> logging.getLogger("train").info("epoch %d", 1, extra={"loss": 0.25})

>>> run = runlog.Experiment(runlog.Workspace(), "ridge").start_logging()
>>> run.log("mse", 3424.3)
>>> run.complete()

Standard library only. What logs does not raise, and does not make training wait; what is lost is counted.
"""

from runlog.exceptions import (
    ActivityFailedException,
    AzureMLException,
    ExperimentExecutionException,
    ServiceException,
    SnapshotException,
    UserErrorException,
)
from runlog.experiment import Experiment
from runlog.logs import Handler, basicConfig
from runlog.offline import OfflineRun
from runlog.run import Run
from runlog.runconfig import RunConfiguration
from runlog.script import ScriptRunConfig
from runlog.workspace import Workspace

__all__ = [
    "VERSION",
    "ActivityFailedException",
    "AzureMLException",
    "Experiment",
    "ExperimentExecutionException",
    "Handler",
    "OfflineRun",
    "Run",
    "RunConfiguration",
    "ScriptRunConfig",
    "ServiceException",
    "SnapshotException",
    "UserErrorException",
    "Workspace",
    "__version__",
    "basicConfig",
]

__version__ = "0.1.0"
VERSION = __version__
