"""A run as a notebook shows it. Nothing has to be installed beside the notebook."""

from __future__ import annotations

import html
import threading
from typing import Any, Callable, Mapping

from runlog import _charts
from runlog._reads import ENDED
from runlog.exceptions import ServiceException
from runlog.run import Run

#: How often it is shown anew.
EVERY_SECONDS = 2.0
#: Lines of the log that are shown, the newest.
LINES = 20
MOST_CHARTS = 12


class RunDetails:
    """A run's status, metrics and log, kept up to date until the run ends.

    >>> RunDetails(run).show()
    """

    def __init__(self, run_instance: Run) -> None:
        self._run = run_instance
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def show(self, render_lib: object = None, widget_settings: object = None) -> None:
        """Show it below the cell. Outside a notebook it is printed once."""
        del render_lib, widget_settings
        update = _display(self.render())
        if update is not None:
            self._thread = threading.Thread(target=self._keep, args=(update,), name="runlog-details", daemon=True)
            self._thread.start()

    def get_widget_data(self) -> dict[str, Any]:
        """Give what is shown."""
        run = self._run
        return {"details": run.get_details(), "metrics": run.get_metrics(), "log": run.last_lines(LINES)}

    def stop(self) -> None:
        """Show nothing new any more."""
        self._stopped.set()

    def render(self) -> tuple[str, bool]:
        """Give it as HTML, and whether nothing will change any more."""
        try:
            seen = self.get_widget_data()
        except ServiceException as error:
            return f"<p>{_escaped(self._run.id)}: {_escaped(error)}</p>", False
        details, metrics = seen["details"], seen["metrics"]
        rows = [("Run", self._run.display_name), ("Status", details["status"])]
        rows += [
            (name, details[key])
            for name, key in (("Started", "startTimeUtc"), ("Ended", "endTimeUtc"))
            if key in details
        ]
        rows += [(f"tag {key}", "" if value is None else value) for key, value in details["tags"].items()]
        if "error" in details:
            rows.append(("Error", details["error"]["error"]["message"]))
        rows += [(name, value) for name, value in metrics.items() if not isinstance(value, (list, dict))]
        table = "".join([f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in rows])
        charts = "".join([_charts.chart(name, values) for name, values in _series(metrics)][:MOST_CHARTS])
        lines = _escaped("\n".join(seen["log"]))
        log = f'<pre style="max-height:20em;overflow:auto">{lines}</pre>' if lines else ""
        return f"<div><table>{table}</table>{charts}{log}</div>", details["status"] in ENDED

    def _keep(self, update: Callable[[str], None]) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                shown, is_last = self.render()
                update(shown)
            except Exception:
                # The notebook has gone; nobody is there to be told.
                return
            if is_last:
                return


def _display(first: tuple[str, bool]) -> Callable[[str], None] | None:
    """Show that. Gives what shows something else in its place, if there will be something else."""
    shown, is_last = first
    try:
        from IPython import display, get_ipython  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
    except ImportError:
        print(shown)
        return None
    if get_ipython() is None:
        print(shown)
        return None
    handle = display.display(display.HTML(shown), display_id=True)
    return None if is_last or handle is None else lambda text: handle.update(display.HTML(text))


def _series(metrics: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    found = []
    for name, value in metrics.items():
        if isinstance(value, list):
            found.append((name, value))
        elif isinstance(value, dict):
            found += [(f"{name}.{column}", cells) for column, cells in value.items() if isinstance(cells, list)]
    return found


def _escaped(value: object) -> str:
    return html.escape(str(value))
