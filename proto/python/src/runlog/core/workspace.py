"""As azureml has it."""

from runlog.workspace import Workspace

__all__ = ["Workspace"]
