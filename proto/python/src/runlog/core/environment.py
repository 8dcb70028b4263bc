"""As azureml has it."""

from runlog.runconfig import Environment

__all__ = ["Environment"]
