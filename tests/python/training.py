"""Logs a run of every kind: training.py FOLDER. The run is that of the environment."""

import json
import os
import sys

from runlog import Run

folder = sys.argv[1]
run = Run.get_context(allow_offline=False)
run.log("alpha", 0.4)
for step in range(5):
    run.log("loss", 1 / (step + 1), step=step)
run.log("category", "Red")
run.log("ok", True)
run.log("nothing", None)
run.log("odd", {"a set"})
run.log("nan", float("nan"))
run.log("infinite", float("-inf"))
run.log("large", 2**63 - 1)
run.log("text", 'umlaut ü, a pair 😀, quote " and \\, two\nlines')
run.log_list("fibonacci", (number for number in range(600)))
for angle in range(3):
    run.log_row("cosine", angle=angle, cos=angle / 2)
run.log_table("sine", {"angle": [0, 1], "sin": [0.5, None], "kind": ["a", "b"]})
run.log_confusion_matrix("matrix", json.dumps({"schema_type": "confusion_matrix", "data": {"matrix": [[1, 2]]}}))
os.makedirs(folder, exist_ok=True)
for name, size in (("small.bin", 1_000), ("large.bin", 3_000_000), ("empty", 0)):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(bytes(number % 251 for number in range(size)))
run.upload_folder("outputs", folder)
run.tag("favourite")
run.set_tags({"rank": 1})
run.add_properties({"owner": "me"})
run.add_parameters({"alpha": 0.4, "layers": 3})
with run.child_run("part") as child:
    child.log("loss", 5)
run.complete()
