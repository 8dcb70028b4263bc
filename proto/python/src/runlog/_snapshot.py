"""The folder of a script as it is when it is submitted.

What is left out stands in ``.runlogignore``, else ``.amlignore``, else ``.gitignore`` of the folder, as Git has it, and
is what version control and Python leave behind.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from typing import TYPE_CHECKING, Iterator, NamedTuple

from runlog.exceptions import SnapshotException

if TYPE_CHECKING:
    from runlog.run import Run

#: What a snapshot may have, as azureml has it.
MOST_BYTES = 300 * 1024 * 1024
MOST_FILES = 2000
IGNORE_FILES = (".runlogignore", ".amlignore", ".gitignore")
#: The artifact that a run has of it.
ARTIFACT = "snapshot.zip"
_ALWAYS_IGNORED = (".git/", "__pycache__/", ".ipynb_checkpoints/")
_LARGEST = 3
#: The oldest time that a zip file can say: the same folder gives the same bytes.
_THE_TIME = (1980, 1, 1, 0, 0, 0)


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    is_of_folders: bool
    is_exception: bool


class Snapshot:
    """The files of a folder that count."""

    def __init__(self, folder: str) -> None:
        """Look which they are. Fails if they are too many."""
        if not os.path.isdir(folder):
            raise SnapshotException(f"source_directory {folder!r} is no folder")
        self._folder = os.path.abspath(folder)
        self._rules, self._ignored_by = _rules(self._folder)
        self.files = sorted(self._walk(""))
        self._check()

    def copy_to(self, folder: str) -> None:
        """Copy the files there."""
        for name in self.files:
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(self._folder, name), target)

    def keep(self, run: Run) -> None:
        """Make it a file of a run, and its digest a property."""
        file, path = tempfile.mkstemp(suffix=".zip")
        os.close(file)
        digest = hashlib.sha256()
        try:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                for name in self.files:
                    with open(os.path.join(self._folder, name), "rb") as opened:
                        content = opened.read()
                    digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
                    packed.writestr(zipfile.ZipInfo(name.replace(os.sep, "/"), _THE_TIME), content)
            run.upload_file(ARTIFACT, path)
        finally:
            # It is open by now, or has been read.
            os.unlink(path)
        run.add_properties({"runlog.snapshot.sha256": digest.hexdigest(), "runlog.snapshot.files": len(self.files)})

    def _walk(self, below: str) -> Iterator[str]:
        with os.scandir(os.path.join(self._folder, below)) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                is_folder = entry.is_dir(follow_symlinks=False)
                if self._is_ignored(name.replace(os.sep, "/"), is_folder):
                    continue
                if is_folder:
                    yield from self._walk(name)
                elif entry.is_file():
                    yield name

    def _is_ignored(self, name: str, is_folder: bool) -> bool:
        is_ignored = False
        for rule in self._rules:
            # The last one that fits counts.
            if (is_folder or not rule.is_of_folders) and rule.pattern.fullmatch(name):
                is_ignored = not rule.is_exception
        return is_ignored

    def _check(self) -> None:
        sizes = {name: os.stat(os.path.join(self._folder, name)).st_size for name in self.files}
        total = sum(sizes.values())
        if total <= MOST_BYTES and len(sizes) <= MOST_FILES:
            return
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_LARGEST]
        shown = ", ".join([f"{name} ({sizes[name] / 2**20:.1f} MiB)" for name in largest])
        where = os.path.join(self._folder, self._ignored_by or IGNORE_FILES[0])
        raise SnapshotException(
            f"{self._folder} has {len(sizes)} files of {total / 2**20:.1f} MiB, and {MOST_FILES} files of "
            f"{MOST_BYTES / 2**20:.0f} MiB can be submitted; the largest are {shown}. "
            f"Name what is not needed in {where}"
        )


def _rules(folder: str) -> tuple[list[_Rule], str]:
    lines, found = list(_ALWAYS_IGNORED), ""
    for name in IGNORE_FILES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                lines += file.read().splitlines()
            found = name
            break
    return [rule for rule in map(_rule, lines) if rule is not None], found


def _rule(line: str) -> _Rule | None:
    """Read a line of an ignore file."""
    text = re.sub(r"(?<!\\)\s+$", "", line)
    if not text or text.startswith("#"):
        return None
    is_exception = text.startswith("!")
    text = text[1:] if is_exception else text
    is_of_folders = text.endswith("/")
    text = text.rstrip("/")
    # With a slash before its end it is a path from the folder; without, a name anywhere below it.
    is_path = "/" in text
    pattern = _pattern(text.lstrip("/"))
    try:
        return _Rule(re.compile(pattern if is_path else f"(?:.*/)?{pattern}", re.DOTALL), is_of_folders, is_exception)
    except re.error:
        return None


def _pattern(glob: str) -> str:
    """Give the regular expression of a pattern of Git's."""
    said = []
    at = 0
    while at < len(glob):
        rest = glob[at:]
        if rest.startswith("**/"):
            said.append("(?:.*/)?")
            at += 3
        elif rest == "**" or rest.startswith("**"):
            said.append(".*")
            at += 2
        elif rest[0] == "*":
            said.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            said.append("[^/]")
            at += 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inside = rest[1:end].replace("\\", "\\\\")
            said.append(f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]")
            at += end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            said.append(re.escape(rest[1]))
            at += 2
        else:
            said.append(re.escape(rest[0]))
            at += 1
    return "".join(said)
