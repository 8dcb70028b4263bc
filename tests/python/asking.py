"""Asks for all of a run, and prints it as JSON: asking.py FOLDER. The run is that of the environment."""

import hashlib
import json
import os
import sys

from runlog import Run

folder = sys.argv[1]
run = Run.get_context(allow_offline=False)
# The end of its child is what `training.py` says last.
if [child.get_status() for child in run.get_children()] != ["Completed"]:
    print("null")
    sys.exit()
run.download_files("outputs/", folder)
digests = {}
for place, _, files in os.walk(folder):
    for name in files:
        with open(os.path.join(place, name), "rb") as file:
            path = os.path.relpath(os.path.join(place, name), folder)
            digests[path] = hashlib.sha256(file.read()).hexdigest()
(child,) = run.get_children()
print(
    json.dumps(
        {
            "metrics": run.get_metrics(),
            "matrix": run.get_metrics("matrix", populate=True),
            "recursive": run.get_metrics("loss", recursive=True),
            "files": run.get_file_names(),
            "digests": digests,
            "tags": run.get_tags(),
            "properties": run.get_properties(),
            "parameters": run.get_parameters(),
            "child": [child.name, child.parent.id, child.get_status(), child.get_metrics()],
        }
    )
)
