"""Measure how often intervals and letters are wrong, and write the tables that docs/statistics.md quotes.

Run ``python -m adu_bench.maintenance.simulation`` in the repository: it draws 2,000 boards per scenario (see
`adu_bench.maintenance.boards`) and writes ``resources/statistics/measured.csv`` and ``reports/statistics.md`` (ten
minutes on one core).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtr

from adu_bench.core.paths import RESOURCES
from adu_bench.core.seeds import derive
from adu_bench.maintenance.boards import SCENARIOS, Answers, Resampled, draw, measured, pairs, truth
from adu_bench.stats.estimates import LEVEL, Estimate

MEASURED = RESOURCES / "statistics" / "measured.csv"
BOARDS = 2_000
USED = "as used: seeds and images, averaged degrees of freedom"
PROCEDURES: Mapping[str, Callable[[Estimate, int, int], float]] = {
    USED: lambda found, seeds, clusters: _p(found.p),
    "seeds and images, Satterthwaite": lambda found, seeds, clusters: _satterthwaite(found, seeds, clusters),
    "seeds alone, Student's t": lambda found, seeds, clusters: _student(found.value, found.seeds, seeds - 1),
    "images alone, Student's t": lambda found, seeds, clusters: _student(found.value, found.images, clusters - 1),
}
"""Two-sided p-values of an estimate, given the numbers of seeds and of clusters."""
DIFFERENCES, LETTERS, MEANS = "difference of two methods", "letters of all methods", "mean of a method"


def measure(
    boards: int = BOARDS,
    seed: int = 0,
    scenarios: Mapping[str, Resampled | Answers] = SCENARIOS,
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
        See `adu_bench.maintenance.boards.SCENARIOS`.
    say
        Called with the name of each scenario before its boards are drawn.

    Returns
    -------
    DataFrame
        One row per scenario, question and procedure: scenario, question, procedure, boards, wrong.  The last is the
        share, 0 to 1, of intervals of a difference or a mean that miss the true value, and of boards with any two
        methods that do not share a letter although no method is better than another.
    """
    rows = []
    for name, scenario in scenarios.items():
        say(name)
        for (question, procedure), wrong in _scenario(scenario, boards, derive(seed, name)).items():
            rows.append((name, question, procedure, boards, round(wrong, 4)))
    return pd.DataFrame(rows, columns=["scenario", "question", "procedure", "boards", "wrong"])


def _scenario(scenario: Resampled | Answers, boards: int, seed: int) -> dict[tuple[str, str], float]:
    rng, true = np.random.default_rng(seed), truth(scenario)
    effects = measured(scenario) if isinstance(scenario, Resampled) else None
    rejected: dict[tuple[str, str], list[float]] = {}
    for _ in range(boards):
        board = draw(rng, scenario, effects)
        _, seeds, clusters = board.influences["h"].shape
        gaps = [board.difference(*pair) for pair in pairs(board.methods)]
        for procedure, p_of in PROCEDURES.items():
            p = np.array([p_of(gap, seeds, clusters) for gap in gaps])
            rejected.setdefault((DIFFERENCES, procedure), []).append(float((p < LEVEL).mean()))
            # Holm rejects at least once exactly if the smallest p-value is below the level over the number of pairs.
            rejected.setdefault((LETTERS, procedure), []).append(float(p.min() < LEVEL / len(p)))
        means = [board.mean(method) for method in board.methods]
        rejected.setdefault((MEANS, USED), []).append(float(np.mean([not _inside(true, one) for one in means])))
    return {key: float(np.mean(wrong)) for key, wrong in rejected.items()}


def _inside(value: float, found: Estimate) -> bool:
    return found.low is not None and found.high is not None and found.low <= value <= found.high


def _p(p: float | None) -> float:
    return 1.0 if p is None else p


def _student(value: float, error: float | None, df: float) -> float:
    return float(2 * stdtr(df, -abs(value) / error)) if error else 1.0


def _satterthwaite(found: Estimate, seeds: int, clusters: int) -> float:
    """Return the p-value of the sum of both variances with Satterthwaite's degrees of freedom."""
    if found.seeds is None or found.images is None or found.interaction is None:
        return 1.0
    own, rest = found.seeds**2, max(found.images**2 - found.interaction**2, 0.0)
    df = (own + rest) ** 2 / (own**2 / (seeds - 1) + rest**2 / (clusters - 1))
    return _student(found.value, float(np.sqrt(own + rest)), df)


def markdown(table: pd.DataFrame) -> str:
    """Return the table as Markdown: one row per question and procedure, one column per scenario, in per cent."""
    names = list(dict.fromkeys(table["scenario"]))
    wide = table.pivot(index=["question", "procedure"], columns="scenario", values="wrong")[names]
    lines = ["| | procedure | " + " | ".join(names) + " |", "|---|---|" + "---:|" * len(names)]
    before = None
    for question, procedure in table[["question", "procedure"]].drop_duplicates().to_numpy():
        cells = [f"{100 * value:.1f}" for value in wide.loc[(question, procedure)]]
        lines.append("| " + " | ".join([question if question != before else "", procedure, *cells]) + " |")
        before = question
    return "\n".join(lines) + "\n"


def report(table: pd.DataFrame) -> str:
    """Return the report for people."""
    start = _START.format(boards=f"{table['boards'].iloc[0]:,}", level=f"{100 * LEVEL:g}")
    return f"{start}\n{markdown(table)}{_END}"


_START = """# Error rates of intervals and letters

Per cent, at the {level} % level, on {boards} simulated boards per scenario on which no method is better than another:
intervals of differences and means that miss the true value, and boards on which any two methods share no letter.
`python -m adu_bench.maintenance.simulation` makes this table. Boards, `compare` and `power` use the first procedure.
"""
_END = """
The first eight scenarios draw clusters of images, what single seeds add to them, and seeds from the effects that the
committed rows of `emoji` show of the paper's methods; three seeds unless stated. The others draw right and wrong
answers of six methods from a logistic model with effects of clusters, seeds and both, and score them as real ones;
four tasks unless stated. See [docs/statistics.md](../docs/statistics.md).
"""


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
