"""As azureml has it."""

from runlog.runconfig import CondaDependencies

__all__ = ["CondaDependencies"]
