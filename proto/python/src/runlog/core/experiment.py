"""As azureml has it."""

from runlog.experiment import Experiment

__all__ = ["Experiment"]
