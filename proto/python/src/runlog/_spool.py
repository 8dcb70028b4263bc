"""Files for what no agent took: each line is a request as it would have been sent.

A file is locked by its writer for as long as that lives, which the kernel sees to. An agent takes files that nobody
holds, sends their lines the usual way, and removes them. What survives: all that was written, if the writer is killed;
what the kernel had written by then, if the power goes.
"""

from __future__ import annotations

import binascii
import os
import time

try:
    import fcntl
except ImportError:  # Not a Unix. There is no agent either.
    fcntl = None  # type: ignore[assignment]

#: A file is ended when it has grown to this.
FILE_BYTES = 8 * 1024 * 1024
#: A file is ended after this time if the one before it was taken: then there is somebody who takes them.
FILE_SECONDS = 1.0
#: What all files of the folder may occupy.
FOLDER_BYTES = 1024 * 1024 * 1024
SUFFIX = ".jsonl"


class Spool:
    """The files of one process, one after the other."""

    def __init__(self, folder: str | None) -> None:
        """Prepare to write there. The folder is made when it is needed."""
        self._folder = folder
        self._file: int | None = None
        self._path = ""
        self._before = ""
        self._bytes = 0
        self._since = 0.0
        #: Why the last request could not be written; empty if it could.
        self.fault = ""

    @property
    def is_open(self) -> bool:
        """Whether a file is held, which no agent can take yet."""
        return self._file is not None

    def write(self, requests: list[bytes]) -> bool:
        """Append requests, in one piece. Says whether they are there."""
        try:
            if self._file is not None and os.fstat(self._file).st_nlink == 0:
                # Somebody has removed the file, who was no agent.
                self.end()
            if self._file is None:
                self._begin()
            self._append(b"".join([request + b"\n" for request in requests]))
            self.fault = ""
        except OSError as error:
            self.fault = f"{self._folder}: {error.strerror or error}"
            return False
        if self._bytes >= FILE_BYTES or (time.monotonic() - self._since >= FILE_SECONDS and self._is_taken()):
            self.end()
        return True

    def end(self) -> None:
        """Leave the file to the agent. After a fork this leaves the parent's as it is."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._before = None, self._path

    def _is_taken(self) -> bool:
        return not self._before or not os.path.exists(self._before)

    def _begin(self) -> None:
        if self._folder is None or fcntl is None:
            raise OSError("there is no folder for what no agent takes")
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        occupied = _occupied(self._folder)
        if occupied >= FOLDER_BYTES:
            raise OSError(f"{occupied} bytes are waiting there already")
        name = f"{os.getpid()}-{binascii.hexlify(os.urandom(6)).decode()}{SUFFIX}"
        # It gets its name when it is locked: an agent would take it for one that is done.
        draft = os.path.join(self._folder, f".{name}")
        path = os.path.join(self._folder, name)
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(draft, path)
        except BaseException:
            os.close(file)
            os.unlink(draft)
            raise
        self._file, self._path, self._bytes, self._since = file, path, 0, time.monotonic()

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            # Half a line would be taken for one whose writer was killed.
            os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(line)


def _occupied(folder: str) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                # An agent has just taken it.
                continue
    return total
