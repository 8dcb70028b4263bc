"""Runs a notebook on a real kernel, in its folder, and prints what its cells put out as JSON: notebook.py PATH."""

import json
import os
import sys

import nbclient
import nbformat

path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
client = nbclient.NotebookClient(
    notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": os.path.dirname(path)}}
)
client.execute()
cells = []
for cell in notebook.cells:
    said = ""
    for output in cell.get("outputs", ()):
        said += output.get("text", "")
        said += "".join(output.get("data", {}).get(kind, "") for kind in ("text/plain", "text/html"))
    cells.append({"source": cell.source, "said": said})
print(json.dumps(cells))
