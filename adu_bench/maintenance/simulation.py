"""Measure how often the statistical procedures are wrong, and write the table that ``adu-bench compare`` quotes.

Run ``python -m adu_bench.maintenance.simulation`` in the repository: it draws 4,000 boards per scenario and writes
``resources/statistics/measured.csv`` and ``reports/statistics.md`` (three minutes on one core).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from adu_bench.maintenance.boards import SCENARIOS, Effects
from adu_bench.maintenance.procedures import MEASURES
from adu_bench.stats.estimates import LEVEL
from adu_bench.stats.measured import MEASURED

BOARDS = 4_000
_FIELDS = ("forgotten", "retained", "alike", "task", "seed", "run")


def measure(
    boards: int = BOARDS,
    seed: int = 0,
    scenarios: Mapping[str, Effects] = SCENARIOS,
    measures: Iterable[str] = tuple(MEASURES),
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Measure the error rates of all procedures in all scenarios.

    Parameters
    ----------
    boards
        Simulated boards per scenario.
    seed
        Seed of the simulation.
    scenarios
        Effects by the scenario's name.
    measures
        Questions, see `adu_bench.maintenance.procedures.MEASURES`.
    say
        Called with one line before each part.

    Returns
    -------
    DataFrame
        One row per procedure, view and scenario: question, procedure, view, scenario, boards, wrong (the share of
        boards, 0 to 1, on which the procedure gives a false positive or its interval misses the true value).
    """
    rows = []
    for scenario, effects in scenarios.items():
        for question in measures:
            say(f"{scenario}: {question}")
            for (procedure, view), wrong in MEASURES[question](effects, boards, seed).items():
                rows.append((question, procedure, view, scenario, boards, round(wrong, 4)))
    return pd.DataFrame(rows, columns=["question", "procedure", "view", "scenario", "boards", "wrong"])


def markdown(table: pd.DataFrame) -> str:
    """Return the table as Markdown: one row per procedure and view, one column per scenario, in per cent."""
    names = list(dict.fromkeys(table["scenario"]))
    keys = ["question", "procedure", "view"]
    wide = table.pivot(index=keys, columns="scenario", values="wrong")[names]
    order = [tuple(row) for row in table[keys].drop_duplicates().to_numpy()]
    lines = ["| | procedure | on | " + " | ".join(names) + " |", "|---|---|---|" + "---:|" * len(names)]
    before = None
    for key in order:
        cells = ["" if np.isnan(value) else f"{100 * value:.1f}" for value in wide.loc[key]]
        shown = key if key[0] != before else ("", *key[1:])
        before = key[0]
        lines.append("| " + " | ".join([*shown, *cells]) + " |")
    return "\n".join(lines) + "\n"


def report(table: pd.DataFrame) -> str:
    """Return the report for people: the table, and the effects of its scenarios."""
    scenarios = "\n".join(_scenario(name) for name in dict.fromkeys(table["scenario"]))
    head = f"| scenario | {' | '.join(_FIELDS)} |\n|---|{'---:|' * len(_FIELDS)}"
    start = _START.format(boards=f"{table['boards'].iloc[0]:,}", level=f"{100 * LEVEL:g}")
    return "\n".join([start, head, scenarios, _END, markdown(table)])


_START = """# Error rates of the statistical procedures

Per cent of {boards} simulated boards on which a procedure reports a false difference, or an interval does not contain
the true value, at the {level} % level; `python -m adu_bench.maintenance.simulation` makes this table. A board has all
14 tasks that forget one to three of four domains, and three seeds. The commands use `t over domains`, the letters, the
intervals and the bootstrap over data sets; the other procedures are common alternatives.
"""
_END = """
Standard deviations of effects: of a domain where it is forgotten and where it is retained, of a task, of a seed
within a task, and of a seed in all tasks; `alike`: correlation of a domain's two effects. The first two scenarios are
the variance components of H on the board `emoji`: of the paper's six methods, and of these without `adu-released`.
"""


def _scenario(name: str) -> str:
    own = SCENARIOS[name]
    note = " (sums, not means)" if own.adds else f" (t with {own.tails} df)" if own.tails else ""
    return f"| {name}{note} | " + " | ".join(f"{getattr(own, field):g}" for field in _FIELDS) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the CSV table and the report."""
    parser = argparse.ArgumentParser(
        prog="python -m adu_bench.maintenance.simulation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--boards", type=int, default=BOARDS, help="boards per scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=MEASURED, help="CSV file to write")
    parser.add_argument("--report", type=Path, default=Path("reports/statistics.md"), help="Markdown file to write")
    options = parser.parse_args(arguments)
    table = measure(options.boards, options.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    for path, text in ((options.out, table.to_csv(index=False, lineterminator="\n")), (options.report, report(table))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
