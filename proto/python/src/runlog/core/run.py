"""As azureml has it."""

from runlog.run import Run

__all__ = ["Run"]
