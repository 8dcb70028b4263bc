"""Lines in SVG, which a notebook shows as it is."""

from __future__ import annotations

import html
import math
from typing import Sequence

WIDTH = 320
HEIGHT = 120
_MARGIN = 6
#: More points than a chart has pixels show nothing more.
MOST_POINTS = 600
_COLOUR = "#3b6fd4"


def chart(name: str, values: Sequence[object]) -> str:
    """Give a line chart of the numbers among the values, in their order; empty if there are less than two."""
    points = [
        (at, float(value))
        for at, value in enumerate(values)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ]
    if len(points) < 2:
        return ""
    latest = points[-1][1]
    lowest, highest = min(value for _, value in points), max(value for _, value in points)
    step = max(1, len(points) // MOST_POINTS)
    shown = [*points[::step], *([points[-1]] if (len(points) - 1) % step else [])]
    first, last = points[0][0], points[-1][0]
    line = " ".join(
        [f"{_at(at, first, last, WIDTH):.1f},{HEIGHT - _at(v, lowest, highest, HEIGHT):.1f}" for at, v in shown]
    )
    caption = f"{html.escape(name)}: {latest:.6g} ({lowest:.6g} to {highest:.6g}, {len(points)} values)"
    return (
        f'<figure style="display:inline-block;margin:4px"><figcaption>{caption}</figcaption>'
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{caption}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#8884"/>'
        f'<polyline points="{line}" fill="none" stroke="{_COLOUR}" stroke-width="1.5"/></svg></figure>'
    )


def _at(value: float, low: float, high: float, size: int) -> float:
    """Give the pixel of a value."""
    if math.isinf(high - low):
        value, low, high = value / 2, low / 2, high / 2
    share = 0.5 if high == low else (value - low) / (high - low)
    return _MARGIN + share * (size - 2 * _MARGIN)
