"""The curves of a run's training as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from adu_bench.report.figures.training import curves_of_run
from adu_bench.store import Run

_WIDTH = 40
_STEPS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.-=*#"
"""Heights from low to high, and those for an output that cannot print them."""


def curve_lines(run: Run, encoding: str | None = "utf-8") -> Iterator[str]:
    """Yield one line per logged value: its name, its curve from its lowest to its highest value, and both ends.

    Parameters
    ----------
    run
        The run.
    encoding
        Of the output.

    Yields
    ------
    str
        One sentence instead if the method logged nothing.
    """
    curves = curves_of_run(run)
    if curves.empty:
        yield "It logged no training."
        return
    steps = _STEPS if _prints(_STEPS, encoding) else _PLAIN
    pad = max(map(len, curves))
    yield f"Training, by {curves.index.name} ({curves.index[0]} to {curves.index[-1]}):"
    for name in curves:
        values = curves[name].dropna().to_numpy()
        drawn = sparkline(values, steps).ljust(min(_WIDTH, len(curves)))
        yield f"  {name:{pad}}  {drawn}  {values[0]:.4g} to {values[-1]:.4g}"


def sparkline(values: np.ndarray, steps: str = _STEPS) -> str:
    """Return numbers as characters of different heights; of many numbers, the means of equal parts.

    Parameters
    ----------
    values
        Finite numbers (N,), at least one.
    steps
        The characters from low to high; equal numbers have the lowest.
    """
    parts = np.array([part.mean() for part in np.array_split(values, min(_WIDTH, len(values)))])
    low, high = parts.min(), parts.max()
    shares = (parts - low) / (high - low) if high > low else np.zeros(len(parts))
    return "".join(steps[int(share)] for share in np.round(shares * (len(steps) - 1)))


def _prints(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
