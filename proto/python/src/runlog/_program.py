"""Runs a script that was submitted: PROGRAM WORD...

It stands between ``runlog exec`` and the script, and keeps the script's outputs when it has ended, so that the run ends
after that. Where there is no ``runlog``, it is what collects the lines as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import IO

if __name__ == "__main__":
    # The folder of this file is no place to import from.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from runlog._value import any_value
from runlog.exceptions import UserErrorException
from runlog.run import FLUSH_SECONDS, Run, SubmittedRun

#: Set where nobody else collects what the script prints.
ALONE = "RUNLOG_PYTHON_ALONE"
#: Folders whose files are kept.
KEPT = ("outputs", "logs")
_LINE_BYTES = 1024 * 1024


def main(words: list[str]) -> int:
    """Run it. Gives the exit code."""
    is_alone = os.environ.pop(ALONE, "") != ""
    run = Run.get_context(allow_offline=False)
    assert isinstance(run, SubmittedRun)
    if is_alone:
        run.start()
    pipe = subprocess.PIPE if is_alone else None
    try:
        script = subprocess.Popen(words, stdout=pipe, stderr=pipe)
    except OSError as error:
        print(f"runlog: {words[0]} cannot be started: {error.strerror or error}", file=sys.stderr)
        script = None
        code = 127
    if script is not None:
        code = _attend(script, run)
    for folder in KEPT:
        if os.path.isdir(folder):
            try:
                run.upload_folder(folder, folder)
            except UserErrorException as error:
                print(f"runlog: not all of {folder} is kept: {error}", file=sys.stderr)
    if is_alone:
        Run._end(run, "Completed" if code == 0 else "Failed", f"the script ended with {code}", _ended(code))
    run.flush(FLUSH_SECONDS)
    return code


def _attend(script: subprocess.Popen[bytes], run: SubmittedRun) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: script.send_signal(number))
    streams = (("stdout", script.stdout, sys.stdout), ("stderr", script.stderr, sys.stderr))
    readers = [
        threading.Thread(target=_pass_on, args=(run, name, pipe, shown.buffer)) for name, pipe, shown in streams if pipe
    ]
    for reader in readers:
        reader.start()
    code = script.wait()
    for reader in readers:
        reader.join()
    # As a shell has it.
    return code if code >= 0 else 128 - code


def _pass_on(run: SubmittedRun, stream: str, pipe: IO[bytes], shown: IO[bytes]) -> None:
    for line in iter(lambda: pipe.readline(_LINE_BYTES), b""):
        shown.write(line)
        shown.flush()
        run._print(line.decode("utf-8", "replace").rstrip("\r\n"), stream)


def _ended(code: int) -> list[tuple[str, str]]:
    return [("process.exit.code", any_value(code))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
