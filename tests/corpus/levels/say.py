"""What the programs of this corpus say: messages of trainings, some of which speak of levels that are not theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator

MESSAGES = (
    "epoch 3 done, loss 0.314",
    "loaded 442 rows from train.csv",
    "no error so far",
    "retrying after timeout, attempt 2 of 5",
    "checkpoint saved to /ckpt/step-100.pt",
    "Warning threshold is 0.5",
    "Error rate: 0.12",
    "GPU 0: 14% used, 2 GiB free",
    "grad norm is inf, skipping step",
    "INFO level is on",
    "rank 3 of 8 joined at 10.0.0.7:29500",
    "lr=3e-4 step=100 loss=0.25",
)

_serial = 0
_levels = int(os.environ.get("CORPUS_LEVELS", "1"))


def messages(levels: tuple[str, ...], each: int = 3) -> Iterator[tuple[str, str]]:
    """Levels and messages. A message ends in its number, and the collector is told the number's level."""
    global _serial
    for nth in range(each):
        for place, level in enumerate(levels):
            _serial += 1
            text = MESSAGES[(place + nth * 5 + len(levels)) % len(MESSAGES)]
            os.write(_levels, f"{_serial} {level}\n".encode())
            yield level, f"{text} #{_serial}"
