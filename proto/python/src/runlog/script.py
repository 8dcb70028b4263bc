"""Scripts that are run as runs of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from runlog import _program
from runlog._reads import ENDED
from runlog._snapshot import Snapshot
from runlog._value import any_value
from runlog.exceptions import ExperimentExecutionException, ServiceException, UserErrorException
from runlog.run import Run
from runlog.runconfig import Environment, RunConfiguration

if TYPE_CHECKING:
    from runlog.experiment import Experiment

_LOOK_SECONDS = 0.1
#: How long a script that is canceled may take to end.
_GRACE_SECONDS = 10.0
#: How long the store may take to hear of the end of a script that has ended.
_HEAR_SECONDS = 10.0

#: Those whose scripts run. What is not waited for would be told as a leak.
_running: list[subprocess.Popen[bytes]] = []


class ScriptRunConfig:
    """A script and the folder that it needs.

    :param source_directory: all of it is copied when it is submitted, but for what its ignore file names.
    :param script: the program, in that folder.
    :param arguments: what it is given.
    :param command: in place of the script: any command.
    :param environment_variables: set for the script, beside those of this program.
    """

    def __init__(
        self,
        source_directory: str = ".",
        script: str | None = None,
        arguments: Iterable[object] | None = None,
        run_config: RunConfiguration | None = None,
        compute_target: object = None,
        environment: Environment | None = None,
        distributed_job_config: object = None,
        resume_from: object = None,
        max_run_duration_seconds: int | None = None,
        command: str | Iterable[object] | None = None,
        docker_runtime_config: object = None,
        *,
        environment_variables: Mapping[str, object] | None = None,
    ) -> None:
        if (script is None) == (command is None):
            raise UserErrorException("ScriptRunConfig takes either a script or a command")
        for what, given in (("distributed_job_config", distributed_job_config), ("resume_from", resume_from)):
            if given is not None:
                raise UserErrorException(f"ScriptRunConfig: {what} is not known here: scripts run on this machine")
        if str(compute_target or "local") != "local":
            raise UserErrorException(
                f"compute_target={compute_target!r} is not known here: scripts run on this machine"
            )
        self.source_directory = source_directory or "."
        self.script = script
        self.arguments = [str(argument) for argument in arguments or ()]
        self.command = shlex.split(command) if isinstance(command, str) else [str(word) for word in command or ()]
        self.run_config = run_config or RunConfiguration()
        if environment is not None:
            self.run_config.environment = environment
        self.max_run_duration_seconds = max_run_duration_seconds
        self.docker_runtime_config = docker_runtime_config
        variables = {**self.run_config.environment_variables, **(environment_variables or {})}
        self.environment_variables = {str(name): str(value) for name, value in variables.items()}

    def words(self, folder: str) -> list[str]:
        """Give the command that runs it in that folder."""
        if self.script is None:
            return [*self.command, *self.arguments]
        if not os.path.isfile(os.path.join(folder, self.script)):
            raise UserErrorException(f"the script {self.script!r} is not in {self.source_directory!r}, or is ignored")
        python = self.run_config.environment.python.interpreter_path or sys.executable
        return [python, self.script, *self.arguments]


class ScriptRun(Run):
    """The run of a script that was submitted here."""

    #: Where the script runs, and what it prints.
    directory: str
    _output: str
    _process: subprocess.Popen[bytes]

    def cancel(self) -> None:
        """End the script."""
        super().cancel()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)

    def get_status(self) -> str:
        """Give where the run stands. What is known here counts, while the store has not heard of it."""
        code = self._process.poll()
        try:
            status = super().get_status()
        except ServiceException:
            status = "Running"
        if code is None or status in ENDED:
            return status
        return self._ended or ("Completed" if code == 0 else "Failed")

    def _watch(self, show_output: bool) -> None:
        with open(self._output, "rb") as output:
            while True:
                # Asked before it is read, so that nothing is missed at the end.
                has_ended = self._process.poll() is not None
                said = output.read()
                if said and show_output:
                    sys.stdout.write(said.decode("utf-8", "replace"))
                    sys.stdout.flush()
                if has_ended and not said:
                    break
                if not said:
                    time.sleep(_LOOK_SECONDS)
        if self._process in _running:
            _running.remove(self._process)

    def _final_details(self) -> dict[str, Any]:
        until = time.monotonic() + _HEAR_SECONDS
        while True:
            try:
                details = self.get_details()
                if details["status"] in ENDED or time.monotonic() >= until:
                    break
            except ServiceException as error:
                self._warn(f"of the run {self.id} only its exit code is known: {error}")
                details = {"runId": self.id, "target": "local", "properties": {}, "tags": {}, "logFiles": {}}
                break
            time.sleep(_LOOK_SECONDS)
        code = self._process.wait()
        details["status"] = self.get_status()
        details.setdefault("exitCode", code)
        if details["status"] == "Failed" and "error" not in details:
            details["error"] = {"error": {"code": "", "message": f"the exit code is {code}, see {self._output}"}}
        return details


def submit(
    experiment: Experiment,
    config: ScriptRunConfig,
    tags: Mapping[str, object],
    show_output: bool = False,
    run_id: str | None = None,
    parent: Run | None = None,
    **_: object,
) -> ScriptRun:
    """Start the script, and give its run."""
    if not isinstance(config, ScriptRunConfig):
        raise UserErrorException(f"submit takes a ScriptRunConfig, not {config!r}")
    snapshot = Snapshot(config.source_directory)
    run = ScriptRun(experiment, run_id or str(uuid.uuid4()))
    if parent is not None:
        run._parent_id = parent.id
    place = os.path.join(tempfile.gettempdir(), f"runlog_runs-{_user()}")
    run.directory = os.path.join(place, run.id.replace("/", "_"))
    run._output = f"{run.directory}.out"
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        os.makedirs(run.directory, mode=0o700)
        snapshot.copy_to(run.directory)
    except OSError as error:
        raise ExperimentExecutionException(f"the script cannot be copied: {error}") from error
    words = config.words(run.directory)
    run._tell("ml.run.status", f"run {run.id} is prepared", [("ml.run.status", any_value("preparing"))])
    run.set_tags(tags)
    run.add_properties({"runlog.script": config.script or shlex.join(words)})
    snapshot.keep(run)
    _warn_of_environment(run, config.run_config.environment)
    _start(run, config, words)
    if show_output:
        run.wait_for_completion(show_output=True)
    return run


def _start(run: ScriptRun, config: ScriptRunConfig, words: list[str]) -> None:
    # It keeps the outputs when the script has ended, and then ends as the script did.
    words = [sys.executable, _program.__file__, *words]
    environment = {**os.environ, **config.environment_variables, "RUNLOG_RUN_ID": run.id}
    environment["RUNLOG_EXPERIMENT"] = run.experiment.name
    # It runs in another folder.
    places = [os.path.abspath(place) for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    environment["PYTHONPATH"] = os.pathsep.join(places)
    binary = os.environ.get("RUNLOG_BIN") or shutil.which("runlog")
    if binary:
        words = [binary, "exec", "--quiet", "--", *words]
    else:
        environment[_program.ALONE] = "1"
        environment.setdefault("PYTHONUNBUFFERED", "1")
        # All of it goes where this goes.
        run._tell("ml.run.status", f"run {run.id} is starting", [("ml.run.status", any_value("starting"))])
    try:
        with open(run._output, "wb") as output:
            run._process = subprocess.Popen(
                words,
                cwd=run.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for who waits, not for the script.
                start_new_session=True,
            )
    except OSError as error:
        run.fail(error, "StartFailed")
        raise ExperimentExecutionException(f"{words[0]} cannot be started: {error.strerror or error}") from error
    _running.append(run._process)


def _warn_of_environment(run: Run, environment: Environment) -> None:
    if environment.docker.enabled:
        run._warn("the script runs in the environment of this Python: no container is started for it")
    elif not environment.python.user_managed_dependencies:
        run._warn("the script runs in the environment of this Python: nothing is installed for it")


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
