"""What the environment says: where the agent is, which run this is, and which rank."""

from __future__ import annotations

import os
from typing import List, Mapping, Tuple, Union

#: Where an agent of this machine listens that systemd has started.
SYSTEM_SOCKET = "/run/runlog/otlp.sock"
#: OTLP's usual port, which an agent listens on beside its socket.
PORT = 4318
#: Names in the state directory, as the agent has them.
SOCKET_NAME = "otlp.sock"
SPOOL_NAME = "spool"
#: A file that says where the agent or ``runlog serve`` answers what it is asked.
ADDRESS_NAME = "address"
#: Where it answers unless it was told otherwise.
API_PORT = 4319

#: A unix socket's path, or a host and a port.
Address = Union[str, Tuple[str, int]]

Attributes = List[Tuple[str, object]]

#: How launchers number their processes: the variables of which one has to be set for the rest to count, if any; rank,
#: local rank, and the world size in the first that is set. The first launcher whose rank is set counts.
#: The agent's table is ``agent/src/run/platform.rs``.
_LAUNCHERS = (
    (("WORLD_SIZE", "TORCHELASTIC_RUN_ID"), "RANK", "LOCAL_RANK", ("WORLD_SIZE",)),
    ((), "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", ("OMPI_COMM_WORLD_SIZE",)),
    ((), "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", ("MV2_COMM_WORLD_SIZE",)),
    ((), "PMI_RANK", "MPI_LOCALRANKID", ("PMI_SIZE",)),
    ((), "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", ("JSM_NAMESPACE_SIZE",)),
    ((), "FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID", ("FLUX_JOB_SIZE",)),
    (("SLURM_STEP_ID", "SLURM_STEPID"), "SLURM_PROCID", "SLURM_LOCALID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")),
    (("ELASTIC_JOB_NAME",), "WORKER_RANK", "", ()),
)

_RUN = (
    ("ml.run.id", "RUNLOG_RUN_ID"),
    ("ml.experiment.name", "RUNLOG_EXPERIMENT"),
    ("ml.run.attempt", "RUNLOG_ATTEMPT"),
)


def state_dir(environment: Mapping[str, str]) -> str | None:
    """Give the state directory of an agent of this user, as the agent itself finds it."""
    given = environment.get("RUNLOG_STATE_DIR")
    if given:
        return given
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/lib/runlog"
    for name, rest in (("XDG_STATE_HOME", ""), ("HOME", ".local/state")):
        path = environment.get(name, "")
        if path.startswith("/"):
            return os.path.join(path, rest, "runlog")
    return None


def addresses(environment: Mapping[str, str]) -> list[Address]:
    """Give where an agent may listen, the most specific first."""
    given = environment.get("RUNLOG_SOCKET", "")
    if given:
        return [address(given)]
    own = state_dir(environment)
    found: list[Address] = [os.path.join(own, SOCKET_NAME)] if own else []
    return [*found, SYSTEM_SOCKET, ("127.0.0.1", PORT)]


def apis(environment: Mapping[str, str]) -> list[Address]:
    """Give where the Run API may be served, the most specific first."""
    own = state_dir(environment)
    found: list[Address] = []
    if own:
        try:
            with open(os.path.join(own, ADDRESS_NAME), encoding="utf-8") as file:
                found.append(address(file.read(1024).strip()))
        except (OSError, ValueError):
            # There is no agent of this user's.
            pass
    usual = ("127.0.0.1", API_PORT)
    return found if usual in found else [*found, usual]


def address(text: str) -> Address:
    """Read an address: ``/path``, ``unix:/path`` or ``host:port``. What is none of these is taken for a path."""
    if text.startswith("http://"):
        text = text[len("http://") :].rstrip("/")
    host, colon, port = text.rpartition(":")
    if not text.startswith(("/", "unix:")) and colon and port.isdigit():
        return host.strip("[]"), int(port)
    return text[len("unix:") :] if text.startswith("unix:") else text


def spool(environment: Mapping[str, str]) -> str | None:
    """Give the folder in which an agent looks for what nobody took."""
    own = state_dir(environment)
    return environment.get("RUNLOG_OTLP_SPOOL") or (os.path.join(own, SPOOL_NAME) if own else None)


def run(environment: Mapping[str, str]) -> Attributes:
    """Give what is said of the run, as resource attributes. The agent adds what it knows."""
    return [(key, environment[name]) for key, name in _RUN if environment.get(name)]


def ranks(environment: Mapping[str, str]) -> Attributes:
    """Give the rank of this process, as record attributes."""
    found: Attributes = []
    for markers, rank, local_rank, world_size in _LAUNCHERS:
        if _number(environment, (rank,)) is None or (markers and not any(environment.get(name) for name in markers)):
            continue
        for key, names in (("ml.rank", (rank,)), ("ml.local_rank", (local_rank,)), ("ml.world_size", world_size)):
            number = _number(environment, names)
            if number is not None:
                found.append((key, number))
        break
    restart = _number(environment, ("TORCHELASTIC_RESTART_COUNT",))
    if restart is not None:
        found.append(("ml.run.restart", restart))
    return found


def _number(environment: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for text in (environment.get(name, "") for name in names):
        if text.isascii() and text.isdigit() and len(text) <= len(str(2**31)):
            return int(text)
    return None
