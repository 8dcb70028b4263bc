"""What is raised: by calls that read, that start something or that end a wait. Those that log raise nothing."""

from __future__ import annotations

__all__ = [
    "ActivityFailedException",
    "AzureMLException",
    "ExperimentExecutionException",
    "ServiceException",
    "SnapshotException",
    "UserErrorException",
]


class AzureMLException(Exception):  # noqa: N818
    """Any of these. It has the name that programs know which were written for azureml."""

    @property
    def message(self) -> str:
        """What it says."""
        return str(self)


class UserErrorException(AzureMLException):
    """An argument cannot be what it is."""


class SnapshotException(AzureMLException):
    """A folder cannot be submitted."""


class ExperimentExecutionException(AzureMLException):
    """A script could not be started, or its output is no longer shown."""


class ActivityFailedException(AzureMLException):
    """A run that was waited for has failed."""

    def __init__(self, error_details: str) -> None:
        super().__init__(error_details)
        self.error_details = error_details


class ServiceException(AzureMLException):
    """The agent has not answered, or with an error."""

    def __init__(self, message: str, status_code: int = 0, reason: str = "", field: str = "") -> None:
        super().__init__(message)
        #: The status of the answer; 0 if there was none.
        self.status_code = status_code
        #: One word for programs, such as ``UNKNOWN_RUN``.
        self.reason = reason
        #: What it is about, such as ``run_id``.
        self.field = field
