"""As azureml has it."""

from runlog.runconfig import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, RunConfiguration

__all__ = ["DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "RunConfiguration"]
