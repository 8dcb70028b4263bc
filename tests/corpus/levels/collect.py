"""Runs the programs beside this one and writes what they print, each line with its level: `collect.py PART`.

A line of the corpus is `LEVEL<tab>SOURCE<tab>LINE`; in LINE `\\e` is the escape character, `\\t` a tab, `\\\\` a backslash.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import tools

HERE = Path(__file__).parent
MOST_LINES = 40


def run(program: str, name: str) -> tuple[list[str], dict[str, str]]:
    """The lines, and the level of each number."""
    mine, its = os.pipe()
    # pip tells of what is set for it on this machine.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"COLUMNS": "160", "PYTHONHASHSEED": "0", "RAY_DEDUP_LOGS": "0", "CORPUS_LEVELS": str(its)}
    outcome = subprocess.run(
        [sys.executable, str(HERE / program), name],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env=environment, cwd=HERE, pass_fds=[its], check=False, timeout=300,
    )
    os.close(its)
    # absl ends the program at a line of level fatal.
    if outcome.returncode not in (0, -signal.SIGABRT):
        sys.exit(f"{program} {name} ended with {outcome.returncode}:\n{outcome.stdout.decode(errors='replace')}")
    with open(mine) as told:
        levels = dict(line.split() for line in told)
    return outcome.stdout.decode(errors="replace").splitlines(), levels


def names(program: str, part: str) -> list[str]:
    listed = subprocess.run([sys.executable, str(HERE / program)], capture_output=True, text=True, check=True, cwd=HERE)
    return [line.split()[1] for line in listed.stdout.splitlines() if line.split()[0] == part]


def show(level: str, source: str, line: str) -> None:
    line = line.replace(sys.prefix, "/opt/venv").replace("\\", "\\\\").replace("\x1b", "\\e").replace("\t", "\\t")
    if line.strip() and line.isprintable():
        print(f"{level}\t{source}\t{line}")


def main(part: str) -> None:
    for style in names("logging_styles.py", part):
        lines, levels = run("logging_styles.py", style)
        if not levels or len(lines) < len(levels):
            sys.exit(f"{style} printed {len(lines)} lines for {len(levels)} messages: {lines[-3:]}")
        for line in lines:
            # A message that was wrapped has its number on a later line, so only lines with one are known.
            if found := re.search(r"#(\d+)", line):
                show(levels[found.group(1)], f"python:{style}", line)
    for tool in names("tools.py", part):
        lines, _ = run("tools.py", tool)
        if not lines:
            sys.exit(f"{tool} printed nothing")
        for line in lines[:MOST_LINES]:
            show(tools.level(tool, line), f"tool:{tool}", line)
    if part == "known":
        documented = subprocess.run(
            [sys.executable, str(HERE / "documented.py")], capture_output=True, text=True, check=True, cwd=HERE
        )
        for line in documented.stdout.splitlines():
            show(*line.split("\t", 2))
    # Lines like those that people paste when they ask for help, which nobody can make here.
    print((HERE / ("seen.tsv" if part == "known" else "seen_later.tsv")).read_text(), end="")


if __name__ == "__main__":
    main(sys.argv[1])
