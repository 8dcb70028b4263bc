"""Files of a run on their way: by a thread to the agent, or beside the spool until there is one.

A small file is read when it is given, so what becomes of it afterwards does not matter. A larger one is opened then and
read in the background: it may be moved or removed, and is not to be written to until a flush. A file is known by the
digest of its bytes, so sending it again costs nothing.
"""

from __future__ import annotations

import binascii
import contextlib
import errno
import hashlib
import io
import os
import queue
import shutil
import threading
import time
from typing import IO, Callable, NamedTuple

from runlog import _fork
from runlog._api import Api
from runlog.exceptions import ServiceException

#: What is read at once when it is given, and how much of that may wait.
SMALL_BYTES = 1024 * 1024
WAITING_BYTES = 64 * 1024 * 1024
#: Larger ones that are held open; further ones are opened when it is their turn.
MOST_OPEN = 64
#: What the folder beside the spool may occupy is the disk's room, less this.
SPARE_BYTES = 256 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
#: How long after a failure the agent is not asked again.
_AGAIN_SECONDS = 1.0
_NO_STORE = "NO_STORE"


class Brought(NamedTuple):
    """A file whose bytes are safe, or are not, which was told."""

    sha256: str
    size: int


class _Waiting(NamedTuple):
    #: The bytes, the open file, or where it is.
    content: bytes | IO[bytes] | str
    name: str
    then: Callable[[Brought], None]


class Files:
    """Files of one process, one after the other."""

    def __init__(self, api: Api, folder: str | None, say: Callable[[str], None]) -> None:
        """Prepare to send there, and to keep in that folder what no agent takes."""
        self._api = api
        self._folder = folder
        self._say = say
        self._inbox: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._put = 0
        self._done = 0
        self._waiting_bytes = 0
        self._open = 0
        self._try_after = 0.0

    def put(self, path: str, name: str, then: Callable[[Brought], None]) -> None:
        """Take a file. Fails if it cannot be opened. ``then`` is told, in a thread of ours, once it is there."""
        size = os.stat(path).st_size
        if size <= SMALL_BYTES and self._waiting_bytes + size <= WAITING_BYTES:
            with open(path, "rb") as file:
                self.put_bytes(file.read(), name, then)
        elif self._open < MOST_OPEN:
            self._open += 1
            self._hand_over(_Waiting(open(path, "rb"), name, then))  # noqa: SIM115
        else:
            self._hand_over(_Waiting(os.path.abspath(path), name, then))

    def put_bytes(self, content: bytes, name: str, then: Callable[[Brought], None]) -> None:
        """Take the bytes of a file."""
        self._waiting_bytes += len(content)
        self._hand_over(_Waiting(content, name, then))

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put is there. Says whether it is."""
        until = time.monotonic() + seconds
        wanted = self._put
        while self._done < wanted:
            thread = self._thread
            if thread is None or not thread.is_alive():
                # None could be started, at the end of the interpreter; or it has just ended.
                self._run()
                continue
            if thread is threading.current_thread() or time.monotonic() >= until:
                return False
            thread.join(min(0.1, max(0.0, until - time.monotonic())))
        return True

    def rest(self, seconds: float) -> None:
        """Wait for the end of the thread, before a fork."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            _fork.join(thread, seconds)

    def _hand_over(self, waiting: _Waiting) -> None:
        self._put += 1
        self._inbox.put(waiting)
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="runlog-files", daemon=True)
                self._thread = thread
                with contextlib.suppress(RuntimeError):
                    thread.start()

    def _run(self) -> None:
        while True:
            try:
                waiting = self._inbox.get_nowait()
            except queue.Empty:
                # What is put from now on finds that there is no thread, or is taken by this one.
                with self._starting:
                    if self._inbox.empty():
                        if self._thread is threading.current_thread():
                            self._thread = None
                        return
                continue
            try:
                self._bring(waiting)
            except Exception as error:
                self._say(f"the file {waiting.name} is lost: {type(error).__name__}: {error}")
            finally:
                self._done += 1

    def _bring(self, waiting: _Waiting) -> None:
        content = waiting.content
        if isinstance(content, bytes):
            self._waiting_bytes -= len(content)
            file: IO[bytes] = io.BytesIO(content)
        elif isinstance(content, str):
            file = open(content, "rb")  # noqa: SIM115
        else:
            self._open -= 1
            file = content
        with file:
            for is_last in (False, True):
                brought = _digest(file)
                if self._send(brought, file) or self._keep(brought, file, waiting.name):
                    break
                # It was written to meanwhile.
                if is_last:
                    self._say(f"the file {waiting.name} is lost: it changes while it is read")
        waiting.then(brought)

    def _send(self, brought: Brought, file: IO[bytes]) -> bool:
        if time.monotonic() < self._try_after:
            return False
        try:
            if self._api.held_bytes(brought.sha256) != brought.size:
                self._api.upload(brought.sha256, brought.size, file)
            return True
        except (ServiceException, OSError) as error:
            if getattr(error, "reason", "") == _NO_STORE:
                # An agent that only exports: the bytes have no place, and are not waited for.
                return True
            # What is kept beside the spool is taken by the agent that has it, once there is one.
            self._try_after = time.monotonic() + _AGAIN_SECONDS
            return False

    def _keep(self, brought: Brought, file: IO[bytes], name: str) -> bool:
        """Leave it to an agent. Says whether it is what it was."""
        try:
            return self._keep_in(brought, file)
        except OSError as error:
            self._say(f"the file {name} is lost: {self._folder}: {error.strerror or error}")
            return True

    def _keep_in(self, brought: Brought, file: IO[bytes]) -> bool:
        if self._folder is None:
            raise OSError(errno.ENOENT, "there is no folder for what no agent takes")
        path = os.path.join(self._folder, brought.sha256)
        if os.path.exists(path):
            return True
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        if shutil.disk_usage(self._folder).free < brought.size + SPARE_BYTES:
            raise OSError(errno.ENOSPC, "there is no room for what no agent takes")
        # It gets its name when it is whole.
        draft = os.path.join(self._folder, f".{binascii.hexlify(os.urandom(8)).decode()}")
        try:
            file.seek(0)
            with open(draft, "xb") as kept:
                copied = _copy(file, kept)
                kept.flush()
                os.fsync(kept.fileno())
            if copied != brought:
                return False
            os.rename(draft, path)
            return True
        finally:
            with contextlib.suppress(OSError):
                os.unlink(draft)


def _digest(file: IO[bytes]) -> Brought:
    file.seek(0)
    return _copy(file, None)


def _copy(file: IO[bytes], into: IO[bytes] | None) -> Brought:
    digest, size = hashlib.sha256(), 0
    for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
        digest.update(piece)
        size += len(piece)
        if into is not None:
            into.write(piece)
    return Brought(digest.hexdigest(), size)
