"""Did it forget?  What the audits of a board's runs say of each method, in a few numbers.

Numbers are means over tasks within a seed, then over seeds.  Intervals and tests are those of Student's t over seeds:
measurements have no values by image, so other test images are not part of them, unlike in the intervals of H.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
import pandas as pd

from adu_bench.leaderboard.aspects import (
    ASPECTS,
    BY_CONSTRUCTION,
    CORE_ATTACKS,
    FULL_ATTACKS,
    PART_OFF,
    Aspect,
    Forgetting,
    Standing,
)
from adu_bench.leaderboard.measurements import ORACLE
from adu_bench.metrics.frame import ZERO_SHOT
from adu_bench.stats.estimates import FEWEST_SEEDS, LEVEL, Estimate, student
from adu_bench.stats.letters import holm

LEAST = 0.2
"""Where an oracle's recovery is within this of zero-shot's, an attack is left out; quotients would be noise."""
_ABOVE = 0.01
"""Where zero-shot accuracy is not this much above chance, shares of it mean nothing."""
_DIGITS = 7
"""Decimals of shares and accuracies by seed: what differs by less is equal, and measurements are rounded."""
_BEYOND = 5e-4
"""A share above 1 by less than this is shown as 100.0."""


def forgetting_of(
    frame: pd.DataFrame,
    tasks: Sequence[str],
    methods: Sequence[str],
    ranked: Sequence[str],
    classes: int,
    measured: pd.DataFrame,
    oracle: pd.DataFrame | None = None,
) -> Forgetting | None:
    """Compute what audits say of methods.

    Parameters
    ----------
    frame
        Metrics of the runs, see `adu_bench.metrics.frame.score`.
    tasks
        The board's tasks.  A seed of a method counts where all of them were measured.
    methods, ranked
        The methods, and those among them that get ranks.
    classes
        Number of classes; chance is one over it.
    measured
        Measurements of the runs, see `adu_bench.leaderboard.measurements`; those of other runs are ignored.
    oracle
        Measurements of oracles; None without any.

    Returns
    -------
    Forgetting or None
        None without a measurement of these runs.
    """
    own = frame[frame["method"].isin(methods) & frame["task"].isin(tasks)]
    heads = own.groupby("key")[["method", "task", "seed"]].first()
    there = measured.loc[measured["key"].isin(heads.index), ["key", "audit", "metric", "value"]].join(heads, on="key")
    if there.empty:
        return None
    found = _wide(there)
    answers = own.pivot_table(index=["method", "task", "seed"], columns="metric", values="value")
    models = _wide(oracle[oracle["task"].isin(tasks)]) if oracle is not None and len(oracle) else found.iloc[:0]
    reader = _Reader(tuple(tasks), 1 / classes, answers, found, models)
    values = {method: dict(reader.of(method)) for method in methods if not _part(found, method).empty}
    return Forgetting(
        _standings(values, ranked, len(tasks)),
        {method: fixed for method in methods if (fixed := reader.by_construction(method)) is not None},
        _recoveries(found),
        _recoveries(models),
        len(tasks),
    )


@dataclass(frozen=True)
class _Values:
    """Means over tasks by seed, what they are the value of, and the number of tasks."""

    by_seed: pd.Series
    by: str = ""
    tasks: int = 0


@dataclass(frozen=True)
class _Reader:
    """Computes the aspects of a method by seed.

    ``answers``, ``found`` and ``oracles`` have one row per method, task and seed; the columns of the last two are named
    AUDIT/METRIC.
    """

    tasks: tuple[str, ...]
    chance: float
    answers: pd.DataFrame
    found: pd.DataFrame
    oracles: pd.DataFrame

    def of(self, method: str) -> Iterator[tuple[str, _Values]]:
        """Yield the aspects that can be computed for a method, by key."""
        answers, found = (_part(table, method) for table in (self.answers, self.found))
        if found.empty:
            return
        candidates = {
            "retained": self._retained(answers),
            "forgot": self._single(answers, "normalised_forgetting"),
            "depth": self._depth(method, CORE_ATTACKS),
            "depth_oracle": self._depth(method, CORE_ATTACKS, oracle=True),
            "depth_full": self._depth(method, FULL_ATTACKS),
            "generality": self._generality(found),
            "held_out": self._single(found, "held-out/suppression"),
            "collateral": self._collateral(found),
        }
        for key, values in candidates.items():
            if values is not None and len(values.by_seed):
                yield key, values

    def by_construction(self, method: str) -> bool | None:
        """Return whether no run of a method changed a weight of the backbone; None if that was not measured."""
        own = _part(self.found, method)
        if BY_CONSTRUCTION not in own or own[BY_CONSTRUCTION].isna().all():
            return None
        return bool(own[BY_CONSTRUCTION].min() == 1)

    def _by_seed(self, values: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
        """Average the columns over tasks, for the seeds that have every value of every task."""
        whole = values.dropna().reset_index()
        counts = whole.groupby("seed")["task"].nunique()
        seeds = counts.index[counts == len(tasks)]
        return whole[whole["seed"].isin(seeds)].drop(columns="task").groupby("seed").mean().round(_DIGITS)

    def _single(self, values: pd.DataFrame, column: str) -> _Values | None:
        if column not in values:
            return None
        return _Values(self._by_seed(values[[column]], self.tasks)[column], tasks=len(self.tasks))

    def _retained(self, answers: pd.DataFrame) -> _Values | None:
        if "retain_drop" not in answers:
            return None
        before = answers["mem"] + answers["retain_drop"]
        return self._share(answers["mem"], before)

    def _share(self, now: pd.Series, before: pd.Series, gone: bool = False) -> _Values | None:
        """Return accuracy above chance as a share of that before, or the share that is gone; nothing near chance."""
        known = (before - self.chance).where(before - self.chance > _ABOVE)
        share = (now - self.chance) / known
        return self._single((1 - share if gone else share).rename("share").to_frame(), "share")

    def _depth(self, method: str, attacks: Mapping[str, str], oracle: bool = False) -> _Values | None:
        """Return one minus the recovery of the attack that recovers most over all tasks and seeds."""
        there = [attack for attack in attacks if attack in self.found and self.found[attack].notna().any()]
        if attacks is FULL_ATTACKS and set(there) <= set(CORE_ATTACKS):
            return None
        if self.by_construction(method):
            there = [attack for attack in there if attack != PART_OFF]
        own, tasks = _part(self.found, method), self.tasks
        if oracle:
            known = _part(self.oracles, ORACLE)
            there = [attack for attack in there if attack in known and known[attack].notna().any()]
            known = known[there].groupby("task").mean().dropna()
            tasks = tuple(task for task in tasks if task in known.index)
            zero = known.loc[list(tasks)].mean()
            there = [attack for attack in there if 1 - zero[attack] >= LEAST]
        if not there or not tasks:
            return None
        recovered = self._by_seed(own.loc[own.index.isin(tasks, level="task"), there], tasks)
        if oracle:
            recovered = (recovered - zero[there]) / (1 - zero[there])
        if recovered.empty:
            return None
        best = there[int(np.argmax(recovered.mean().to_numpy()))]
        return _Values(1 - recovered[best], attacks[best], len(tasks))

    def _generality(self, found: pd.DataFrame) -> _Values | None:
        """Return forgetting over the filters of `disguise`, on the attacker's images."""
        tried = "disguise/tried:"
        filters = [name for name in found if name.startswith(tried) and name != f"{tried}none"]
        before = _part(self.found, ZERO_SHOT)
        if not filters or before.empty:
            return None
        now, then = (part[filters].mean(axis=1, skipna=False) for part in (found, before))
        return self._share(now, then.reindex(now.index), gone=True)

    def _collateral(self, found: pd.DataFrame) -> _Values | None:
        """Return the loss of accuracy that is largest over all tasks and seeds."""
        own = found.rename(columns=lambda name: name.removeprefix("collateral/"))
        losses = {
            "all images": own.get("clean_drop"),
            "corrupted": own.get("corrupted_drop"),
            "worst domain": own["worst_domain_before"] - own["worst_domain"] if "worst_domain" in own else None,
            "same artist": own.get("same_artist_drop"),
        }
        seen = {
            name: self._by_seed(loss.rename(name).to_frame(), self.tasks)[name]
            for name, loss in losses.items()
            if loss is not None
        }
        seen = {name: values for name, values in seen.items() if len(values)}
        if not seen:
            return None
        worst = max(seen, key=lambda name: float(seen[name].mean()))
        return _Values(seen[worst], worst, len(self.tasks))


def _wide(measured: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method, task and seed, and one column per audit and metric."""
    named = measured.assign(name=measured["audit"] + "/" + measured["metric"])
    return named.pivot_table(index=["method", "task", "seed"], columns="name", values="value", sort=False)


def _part(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the rows of a method by task and seed."""
    return table[table.index.get_level_values("method") == method].droplevel("method")


def _recoveries(found: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the mean recovery of each attack, over seeds, then over tasks, by method and the attack's name."""
    there = [attack for attack in FULL_ATTACKS if attack in found]
    means = found[there].groupby(["method", "task"], sort=False).mean().groupby("method", sort=False).mean()
    return {
        str(method): {FULL_ATTACKS[attack]: float(row[attack]) for attack in there if row[attack] == row[attack]}
        for method, row in means.iterrows()
    }


def _standings(
    values: Mapping[str, Mapping[str, _Values]], ranked: Sequence[str], tasks: int
) -> dict[str, dict[str, Standing]]:
    """Estimate every aspect of every method, and rank the ranked ones."""
    found: dict[str, dict[str, Standing]] = {method: {} for method in values}
    for aspect in ASPECTS:
        own = {method: seen[aspect.key] for method, seen in values.items() if aspect.key in seen}
        counted = {
            method: each.by_seed.clip(upper=1.0) if aspect.capped else each.by_seed for method, each in own.items()
        }
        ranks = _ranks({name: counted[name] for name in ranked if name in counted}, aspect, tasks)
        for method, each in own.items():
            beyond = aspect.capped and float(each.by_seed.mean()) > 1 + _BEYOND
            seeds = tuple(int(seed) for seed in each.by_seed.index)
            estimate = _over_seeds(counted[method].to_numpy(), each.tasks)
            found[method][aspect.key] = Standing(estimate, beyond, each.by, ranks.get(method), seeds)
    return found


def _over_seeds(values: np.ndarray, tasks: int) -> Estimate:
    """Estimate a mean over seeds with Student's t."""
    mean, count = float(values.mean()) if len(values) else 0.0, len(values)
    if count < FEWEST_SEEDS:
        return Estimate(mean, None, None, None, None, None, tasks, reason="too few seeds for an interval")
    return student(mean, float(values.std(ddof=1)) / sqrt(count), count - 1, tasks)


def _ranks(values: Mapping[str, pd.Series], aspect: Aspect, tasks: int) -> dict[str, int]:
    """Return one more than the number of methods that are better beyond the noise of seeds.

    Methods with too few seeds have no rank; nor has any where there is nothing to compare with.
    """
    sign = -1 if aspect.direction == "down" else 1
    enough = [method for method, own in values.items() if len(own) >= FEWEST_SEEDS]
    gaps = {
        (one, two): _over_seeds(sign * (values[one] - values[two]).dropna().to_numpy(), tasks)
        for one, two in combinations(enough, 2)
    }
    if not gaps:
        return {}
    # Methods that share too few seeds cannot be told apart.
    corrected = holm(np.array([1.0 if gap.p is None else gap.p for gap in gaps.values()]))
    ranks = dict.fromkeys(enough, 1)
    for (pair, gap), p in zip(gaps.items(), corrected, strict=True):
        if p < LEVEL:
            ranks[pair[1] if gap.value > 0 else pair[0]] += 1
    return ranks
