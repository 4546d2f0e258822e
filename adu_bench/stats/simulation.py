"""How often the procedures are right: boards drawn with the dependence that real ones have.

``python -m adu_bench.stats.simulation`` draws 4,000 boards a scenario and writes the table that `adu-bench compare`
quotes.

A board is methods x tasks x seeds.  Its tasks are all subsets of one to three of four domains.  Each method has two
effects of every domain, one in the tasks that forget it and one in those that retain it (a task shows the mean of
either), an effect of each task alone, and one of each seed.  Under the null no method is better than another over the
population of domains, so a significant difference is a false positive, and an interval covers if it contains what it
speaks about.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import friedmanchisquare, rankdata

from adu_bench.core.seeds import derive
from adu_bench.core.specs import forget_name
from adu_bench.stats.estimates import (
    LEVEL,
    Estimate,
    errors_over_domains,
    membership,
    over_domains,
    over_seeds,
    quantile,
    roles,
    within_sizes,
)
from adu_bench.stats.measured import ALL, ALONE, APART, MEASURED, USUAL, view_name
from adu_bench.stats.paired import WILCOXON, WILCOXON_APART, disjoint, exact_wilcoxon
from adu_bench.stats.ranks import critical_difference, friedman, improvements
from adu_bench.stats.resampling import FEWEST_DATA_SETS, cluster_bootstrap
from adu_bench.stats.scores import Scores
from adu_bench.stats.summary import summarise

BOARDS = 4_000
METHODS = 6


@dataclass(frozen=True)
class Effects:
    """Standard deviations of what differs between methods, in units of each other.

    Parameters
    ----------
    forgotten, retained
        Effect of a domain in the tasks that forget it, and in those that retain it.
    task
        Effect of a task alone.
    seed, run
        Effect of a seed in one task, and of a seed in all tasks.
    adds
        Whether effects of forgotten domains add up instead of being averaged.
    tails
        Degrees of freedom of Student's t that effects are drawn from; None for normal ones.
    alike
        Correlation of a domain's effects where it is forgotten and where it is retained, -1 to 1.
    """

    forgotten: float
    retained: float = 0.0
    task: float = 0.0
    seed: float = 0.0
    run: float = 0.0
    adds: bool = False
    tails: int | None = None
    alike: float = 0.0


SCENARIOS: Mapping[str, Effects] = {
    USUAL: Effects(1.0, 1.3, 0.4, 1.0, 0.4, alike=0.8),
    "steady methods": Effects(1.0, 1.7, 0.6, 0.6),
    "forgotten matter more": Effects(1.0, 0.3, 0.4, 0.4),
    "forgotten alone": Effects(1.0),
    "both roles alike": Effects(1.0, 1.0, 0.4, 0.4, alike=1.0),
    "heavy tails": Effects(1.0, 1.3, 0.4, 1.0, 0.4, alike=0.8, tails=4),
    "no domain effects": Effects(0.0, 0.0, 0.4, 0.4),
    "effects add up": Effects(1.0, 0.3, 0.4, 0.4, adds=True),
}
"""The first two have the variance components that H shows in ``leaderboards/emoji`` (see `components`; rounded, in
units of a forgotten domain's effect): of the paper's six methods, and of these without ``adu-released``, which differs
much from seed to seed.  The last two are there to break procedures: without domain effects intervals may be too wide,
and effects that add up are not those of Mem, For and H, which are means over domains."""


def subsets(domains: int = 4, sizes: Iterable[int] = (1, 2, 3)) -> tuple[tuple[str, ...], ...]:
    """Return the forget sets of a suite: all subsets of the given sizes."""
    names = [f"d{number}" for number in range(domains)]
    return tuple(chosen for size in sizes for chosen in combinations(names, size))


def draw(
    rng: np.random.Generator,
    effects: Effects,
    boards: int,
    methods: int = 2,
    seeds: int = 3,
    forget: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Draw boards on which no method is better than another (boards, methods, tasks, seeds).

    Effects of single methods have variance one half, so that differences of two have the variances of `Effects`.
    """
    forget = subsets() if forget is None else forget
    gone = membership(forget)
    shares, left = roles(gone)
    domains = gone.shape[1]

    def some(size: float, *shape: int) -> np.ndarray:
        if effects.tails is None:
            return size * rng.normal(0, np.sqrt(0.5), (boards, methods, *shape))
        scale = np.sqrt((effects.tails - 2) / effects.tails / 2)
        return size * scale * rng.standard_t(effects.tails, (boards, methods, *shape))

    forgotten, other = some(1.0, domains), some(1.0, domains)
    retained = effects.alike * forgotten + np.sqrt(1 - effects.alike**2) * other
    tasks = effects.forgotten * forgotten @ (gone if effects.adds else shares).T + effects.retained * retained @ left.T
    tasks = tasks + some(effects.task, len(forget))
    return tasks[..., None] + some(effects.seed, len(forget), seeds) + some(effects.run, 1, seeds)


def board(rng: np.random.Generator, effects: Effects, methods: int = 2, seeds: int = 3) -> Scores:
    """Draw one board, see `draw`."""
    return _scores(draw(rng, effects, 1, methods, seeds)[0])


def _scores(values: np.ndarray) -> Scores:
    forget, (methods, _, seeds) = subsets(), values.shape
    names = tuple(f"m{number}" for number in range(methods))
    return Scores("h", names, tuple(map(forget_name, forget)), tuple(range(1, seeds + 1)), forget, values)


def _outside(value: np.ndarray, error: np.ndarray, df: float | np.ndarray) -> np.ndarray:
    """Return where zero is outside the interval of Student's t."""
    return np.abs(value) > stdtrit(df, 1 - LEVEL / 2) * error


def _student(values: np.ndarray) -> np.ndarray:
    """Take the values (boards, n) for independent."""
    count = values.shape[1]
    return _outside(values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(count), count - 1)


def _percentile(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap the values (boards, n), and look where zero is outside the percentile interval."""
    count = values.shape[1]
    found = []
    for own in values:
        drawn = own[rng.integers(count, size=(1_000, count))].mean(axis=1)
        low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
        found.append(not low <= 0 <= high)
    return np.array(found)


def _corrected(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Correct the variance for the mean overlap of tasks, as Nadeau and Bengio (2003) do for training sets."""
    count = len(forget)
    overlap = [len(set(one) & set(two)) / np.sqrt(len(one) * len(two)) for one, two in combinations(forget, 2)]
    share = float(np.mean(overlap))
    variance = means.var(axis=1, ddof=1) * (1 / count + share / (1 - share))
    return _outside(means.mean(axis=1), np.sqrt(variance), count - 1)


def _by_domain(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Average the tasks that forget a domain, and take these averages for independent."""
    domains = sorted(set().union(*forget))
    own = np.stack([means[:, [domain in task for task in forget]].mean(axis=1) for domain in domains], axis=1)
    return _outside(means.mean(axis=1), own.std(axis=1, ddof=1) / np.sqrt(len(domains)), len(domains) - 1)


def _satterthwaite(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Estimate the variances of domains and tasks apart, with Satterthwaite's degrees of freedom."""
    gone = membership(forget)
    shares, _ = roles(gone)
    centre = within_sizes(np.eye(len(forget)), gone)
    fit = np.linalg.pinv(centre @ shares)
    rest = centre - centre @ shares @ fit
    (count, domains), df_rest = gone.shape, round(np.trace(rest))
    df = domains - 1
    first = ((means @ fit.T) ** 2).sum(axis=1) / df / domains
    noise = ((means @ rest.T) ** 2).sum(axis=1) / df_rest
    second = (float((fit**2).sum() / df) / domains - 1 / count) * noise
    variance = np.maximum(first - second, noise / count)
    freedom = (first - second) ** 2 / (first**2 / df + second**2 / df_rest)
    freedom = np.where(first - second > noise / count, freedom.clip(1, df + df_rest), df + df_rest)
    return _outside(means.mean(axis=1), np.sqrt(variance), freedom)


def _wilcoxon(means: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return where the exact test rejects; one that is not made rejects nothing."""
    return np.array([(p := exact_wilcoxon(own).p) is not None and p < level for own in means])


def _over_domains(means: np.ndarray, forget: Sequence[Sequence[str]], view: np.ndarray, level: float) -> np.ndarray:
    """Return where `adu_bench.stats.estimates.over_domains` rejects at a level."""
    df = len(set().union(*forget)) - 1
    error = errors_over_domains(means, forget, view)
    return np.abs(means[:, view].mean(axis=1)) > quantile(df, level) * error


Shares = dict[tuple[str, str], float]


def measure_pairs(effects: Effects, boards: int, seed: int) -> Shares:
    """Return the share of null boards on which each procedure finds a difference of two methods."""
    rng = np.random.default_rng(derive(seed, "pairs"))
    drawn, forget = draw(rng, effects, boards), subsets()
    values = drawn[:, 0] - drawn[:, 1]
    means = values.mean(axis=2)
    found = {}
    for size in (None, 1, 2, 3):
        view = np.array([size is None or len(task) == size for task in forget])
        own, name = means[:, view], view_name(size)
        apart = disjoint([task for task, inside in zip(forget, view, strict=True) if inside])
        found["t over domains", name] = _over_domains(means, forget, view, LEVEL)
        if size is not None:
            inside = [task for task, chosen in zip(forget, view, strict=True) if chosen]
            found[APART, name] = _over_domains(own, inside, np.ones(len(inside), bool), LEVEL)
        found["t over tasks", name] = _student(own)
        if size in (None, 1):
            found["percentile bootstrap over tasks", name] = _percentile(own, rng)
        found[WILCOXON, name] = _wilcoxon(own)
        found[WILCOXON_APART, name] = _wilcoxon(own[:, apart])
    found["t over runs", ALL] = _student(values.reshape(boards, -1))
    found["t with variance corrected for overlap", ALL] = _corrected(means, forget)
    found["t over means by domain", ALL] = _by_domain(means, forget)
    found["crossed random effects, Satterthwaite", ALL] = _satterthwaite(means, forget)
    return {key: float(wrong.mean()) for key, wrong in found.items()}


def measure_many(effects: Effects, boards: int, seed: int) -> Shares:
    """Return the share of null boards of six methods on which each procedure finds any difference."""
    rng = np.random.default_rng(derive(seed, "many"))
    means, forget = draw(rng, effects, boards, METHODS).mean(axis=3), subsets()
    everything, alone = np.ones(len(forget), bool), np.array([len(task) == 1 for task in forget])
    pairs = list(combinations(range(METHODS), 2))
    # Holm's procedure finds something exactly if the smallest p-value is below the level over the number of pairs.
    level = LEVEL / len(pairs)
    gaps = [means[:, one] - means[:, two] for one, two in pairs]
    needed = critical_difference(METHODS, 1)
    found = {}
    for name, view in ((ALL, everything), (ALONE, alone)):
        found["letters: t over domains, Holm", name] = np.any(
            [_over_domains(own, forget, view, level) for own in gaps], axis=0
        )
        ranks = rankdata(-means[:, :, view], axis=1).transpose(0, 2, 1)
        found["Nemenyi", name] = np.ptp(ranks.mean(axis=1), axis=1) >= needed / np.sqrt(view.sum())
        found["Friedman, chi-square", name] = np.array([friedmanchisquare(*own.T).pvalue < LEVEL for own in ranks])
        if name == ALONE:
            found["Friedman, shuffled", name] = np.array([friedman(own)[1] < LEVEL for own in ranks])
        found["Wilcoxon, Holm", name] = np.any([_wilcoxon(own[:, view], level) for own in gaps], axis=0)
    return {key: float(wrong.mean()) for key, wrong in found.items()}


def measure_coverage(effects: Effects, boards: int, seed: int) -> Shares:
    """Return the share of boards on which an interval misses what it speaks about.

    A method's own values are drawn around one half, a tenth of the effects' size.  What is true for new seeds on the
    same tasks is what the board shows without effects of seeds.
    """
    rng = np.random.default_rng(derive(seed, "coverage"))
    fixed = draw(rng, replace(effects, seed=0.0, run=0.0), boards)
    noisy = fixed + draw(rng, Effects(0.0, seed=effects.seed, run=effects.run, tails=effects.tails), boards)
    alone = np.array([len(task) == 1 for task in subsets()])
    found: dict[tuple[str, str], list[bool]] = {}
    for truth, values in zip(fixed[..., 0], noisy, strict=True):
        whole = _scores(values)
        for name, view in ((ALL, None), (ALONE, alone)):
            summary = summarise(0.5 + 0.1 * values[0], whole.forget, view)
            found.setdefault(("mean of a method", name), []).append(_misses(summary.mean, 0.5))
            found.setdefault(("interquartile mean of a method", name), []).append(_misses(summary.middle, 0.5))
            if effects.seed:
                lowest = 0.5 + 0.1 * float(truth[0][slice(None) if view is None else view].min())
                found.setdefault(("worst task of a method, new seeds", name), []).append(_misses(summary.worst, lowest))
        found.setdefault(("probability of improvement, t over domains", ALL), []).append(
            _misses(over_domains(improvements(whole, "m0", "m1"), whole.forget).within(0, 1), 0.5)
        )
        if effects.seed:
            here = over_seeds(values[0] - values[1])
            found.setdefault(("difference on these tasks, new seeds", ALL), []).append(
                _misses(here, float((truth[0] - truth[1]).mean()))
            )
    return {key: float(np.mean(missed)) for key, missed in found.items()}


def measure_data_sets(effects: Effects, boards: int, seed: int) -> Shares:
    """Return the share of collections of null boards on which the bootstrap over data sets finds a difference."""
    rng = np.random.default_rng(derive(seed, "data sets"))
    count = FEWEST_DATA_SETS
    drawn = draw(rng, effects, boards * count).mean(axis=3)
    gaps = (drawn[:, 0] - drawn[:, 1]).reshape(boards, count, -1)
    names = [str(number) for number in range(count)]
    studentised = [
        (p := cluster_bootstrap(dict(zip(names, own, strict=True)), 999, place).p) is not None and p < LEVEL
        for place, own in enumerate(gaps)
    ]
    view = f"{count} data sets"
    return {
        ("bootstrap over data sets, studentised", view): float(np.mean(studentised)),
        ("bootstrap over data sets, percentile", view): float(_percentile(gaps.mean(axis=2), rng).mean()),
    }


def _misses(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.low, estimate.high
    return low is None or high is None or not low - 1e-12 <= truth <= high + 1e-12


MEASURES: Mapping[str, Callable[[Effects, int, int], Shares]] = {
    "two methods": measure_pairs,
    f"{METHODS} methods": measure_many,
    "intervals": measure_coverage,
    "data sets": measure_data_sets,
}


def measure(
    boards: int = BOARDS,
    seed: int = 0,
    scenarios: Mapping[str, Effects] = SCENARIOS,
    measures: Iterable[str] = tuple(MEASURES),
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Measure all procedures in all scenarios.

    Returns
    -------
    DataFrame
        One row a procedure, view and scenario: question, procedure, view, scenario, boards, wrong (share of boards with
        a false positive, which is also the share of intervals that miss).
    """
    rows = []
    for scenario, effects in scenarios.items():
        for question in measures:
            say(f"{scenario}: {question}")
            for (procedure, view), wrong in MEASURES[question](effects, boards, seed).items():
                rows.append((question, procedure, view, scenario, boards, round(wrong, 4)))
    return pd.DataFrame(rows, columns=["question", "procedure", "view", "scenario", "boards", "wrong"])


def markdown(table: pd.DataFrame) -> str:
    """Return the measured table as Markdown: one row a procedure and view, one column a scenario, per cent wrong."""
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
    """Return what people read: the measured table with what its scenarios are."""
    scenarios = "\n".join(_scenario(name) for name in dict.fromkeys(table["scenario"]))
    head = f"| scenario | {' | '.join(LEGEND)} |\n|---|{'---:|' * len(LEGEND)}"
    start = _START.format(boards=f"{table['boards'].iloc[0]:,}", level=f"{100 * LEVEL:g}")
    return "\n".join([start, head, scenarios, _END, markdown(table)])


_START = """# How often the procedures err

Per cent of {boards} simulated boards on which a procedure finds a difference that is not there, or an interval
misses, at the {level} % level; `python -m adu_bench.stats.simulation` makes this table. A board has all 14 tasks
that forget one to three of four domains, and three seeds. `t over domains`, the letters, the intervals and the
bootstrap over data sets are what the commands go by; the others are what people would otherwise use.
"""
_END = """
Standard deviations of effects: of a domain where it is forgotten and where it is retained, of a task, of a seed
within a task, of a seed in all tasks; `alike`: correlation of a domain's two effects. The first two scenarios are
the variance components of H on the board `emoji`: of the paper's six methods, and of these without `adu-released`.
"""


def _scenario(name: str) -> str:
    own = SCENARIOS[name]
    note = " (sums, not means)" if own.adds else f" (t with {own.tails} df)" if own.tails else ""
    return f"| {name}{note} | " + " | ".join(f"{getattr(own, field):g}" for field in LEGEND) + " |"


LEGEND = ("forgotten", "retained", "alike", "task", "seed", "run")


def components(block: Scores) -> Effects:
    """Estimate the variance components of differences between methods, by moments, averaged over all pairs.

    Means over tasks get an own level for each number of forget domains.  A domain's effects in its two roles come from
    a least-squares fit, less what the noise of single tasks adds to their variances.
    """
    gone = membership(block.forget)
    count = gone.shape[1]
    centre = within_sizes(np.eye(len(gone)), gone)
    design = centre @ np.hstack(roles(gone))
    fit = np.linalg.pinv(design)
    rest = centre - design @ fit
    found = []
    for one, two in combinations(range(len(block.methods)), 2):
        values = block.values[one] - block.values[two]
        means, common = values.mean(axis=1), values.mean(axis=0)
        tasks, seeds = values.shape
        noise = float(((rest @ means) ** 2).sum() / np.trace(rest))
        forgotten, retained = (fit @ means)[:count], (fit @ means)[count:]
        cell = float((values - means[:, None] - common + common.mean()).var() * values.size)
        cell /= max((tasks - 1) * (seeds - 1), 1)
        run = float(common.var(ddof=1)) - cell / tasks if seeds > 1 else 0.0
        extra = noise * fit @ fit.T
        found.append(
            (
                (forgotten @ forgotten - np.trace(extra[:count, :count])) / (count - 1),
                (retained @ retained - np.trace(extra[count:, count:])) / (count - 1),
                (forgotten @ retained - np.trace(extra[:count, count:])) / (count - 1),
                noise - cell / seeds,
                cell,
                run,
            )
        )
    forgets, retains, both, task, cell, run = np.mean(found, axis=0)
    a, b, own, seed, whole = np.sqrt(np.maximum([forgets, retains, task, cell, run], 0))
    alike = float(np.clip(both / (a * b), -1, 1)) if a * b else 0.0
    return Effects(float(a), float(b), float(own), float(seed), float(whole), alike=alike)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the table for programs and for people."""
    parser = argparse.ArgumentParser(prog="python -m adu_bench.stats.simulation", description=__doc__)
    parser.add_argument("--boards", type=int, default=BOARDS, help="boards a scenario")
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
