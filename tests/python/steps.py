"""Logs numbered steps: steps.py COUNT PAUSE THREADS. Says `ready` first, then `logged`, and ends with its stdin.

With a COUNT of 0 it logs until its stdin ends, and says `logged NUMBER` then. On stderr it tells how long it stood idle while it
logged and while it ended: its threads neither had a processor nor waited for one that others had.
"""

import atexit
import contextlib
import itertools
import os
import sys
import threading
import time


def busy():
    total = 0
    for task in os.listdir("/proc/self/task"):
        # Threads end while this looks.
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/schedstat") as file:
            total += sum(map(int, file.read().split()[:2]))
    return total / 1e9


def tell_idle(what, since):
    began, busy_before = since
    print(f"{what}: {time.monotonic() - began - (busy() - busy_before):.3f}", file=sys.stderr)


def now():
    return time.monotonic(), busy()


# Before logging is imported, so that its own end has passed.
atexit.register(lambda: tell_idle("ending", ended))

import logging

import runlog

count, pause, threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
runlog.basicConfig(level=logging.DEBUG)
is_over = threading.Event()
made = []


def steps(numbers):
    log = logging.getLogger("train")
    since = now()
    for number in numbers:
        if is_over.is_set():
            break
        log.info("step %d", number, extra={"loss": 1 / (number + 1)})
        made.append(number)
        if pause:
            time.sleep(pause)
    tell_idle("logging", since)


print("ready", flush=True)
if not count:
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
ranges = [range(first, count, threads) if count else itertools.count(first, threads) for first in range(threads)]
workers = [threading.Thread(target=steps, args=(numbers,)) for numbers in ranges]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print("logged" if count else f"logged {len(made)}", flush=True)
if count:
    sys.stdin.read()
ended = now()
