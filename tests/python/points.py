"""Logs points of a metric and then asks for them: points.py COUNT."""

import json
import sys
import time

from runlog import Run

count = int(sys.argv[1])
run = Run.get_context(allow_offline=False)
print("ready", flush=True)
for number in range(count):
    run.log("loss", number, step=number)
    time.sleep(0.001)
print("logged", flush=True)
until = time.monotonic() + 150
while True:
    # What went to the spool is taken a moment later.
    points = run.get_metrics().get("loss", [])
    if len(points) >= count or time.monotonic() >= until:
        break
    time.sleep(0.2)
print(json.dumps(points))
