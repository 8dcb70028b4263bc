"""Logs numbered steps: steps.py COUNT PAUSE THREADS. Says `ready` first, then `logged`, and ends with its stdin."""

import logging
import sys
import threading
import time

import runlog

count, pause, threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
runlog.basicConfig(level=logging.DEBUG)


def steps(numbers):
    log = logging.getLogger("train")
    for number in numbers:
        log.info("step %d", number, extra={"loss": 1 / (number + 1)})
        if pause:
            time.sleep(pause)


print("ready", flush=True)
began = time.monotonic()
workers = [threading.Thread(target=steps, args=(range(first, count, threads),)) for first in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print("logged", flush=True)
print(f"{time.monotonic() - began:.3f} s", file=sys.stderr)
sys.stdin.read()
