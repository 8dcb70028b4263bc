"""As azureml has it."""

from runlog.script import ScriptRunConfig

__all__ = ["ScriptRunConfig"]
