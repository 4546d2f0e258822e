"""The columns that say whether a method forgot, and what a method reaches in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adu_bench.metrics.measures import METRICS
from adu_bench.stats.estimates import Estimate

PART_OFF = "part-off/recovery"
CORE_ATTACKS = {
    PART_OFF: "part-off",
    "class-probe/recovery": "class-probe",
    "class-probe/last_block_recovery": "class-probe, last block",
    "prototypes/recovery": "prototypes",
    "relearning/recovery": "relearning",
    "answer-repair/recovery": "answer-repair",
    "disguise/recovery": "disguise",
    "rounding/recovery_learned_8": "rounding, learned weights, 8 bits",
    "rounding/recovery_learned_4": "rounding, learned weights, 4 bits",
    "rounding/recovery_all_8": "rounding, all weights, 8 bits",
    "rounding/recovery_all_4": "rounding, all weights, 4 bits",
}
"""The attacks that count towards depth: an audit with its metric that says how much of zero-shot accuracy above chance
the attacker recovers, and the attack's name.  These belong to core audits, which every method can be given."""
FULL_ATTACKS = CORE_ATTACKS | {
    "resurrection/recovery_full": "resurrection",
    "relearning-grid/recovery_1": "relearning, 1 image per class",
    "relearning-grid/recovery_2": "relearning, 2 images per class",
    "relearning-grid/recovery_4": "relearning, 4 images per class",
    "relearning-grid/recovery_8": "relearning, 8 images per class",
    "relearning-grid/recovery_retain": "relearning, retain images",
}
"""These, and the attacks of full audits."""
BY_CONSTRUCTION = "part-off/by_construction"


@dataclass(frozen=True)
class Aspect:
    """A column of the reading.

    Parameters
    ----------
    key, title
        Its name in records, and its heading.
    explanation
        What it is, without a full stop.
    direction
        ``up`` if more is better, else ``down``.
    capped
        Whether values above 1 say more than that the model never knew; they count as 1.
    optional
        Whether its column is left out where no method has a value.
    """

    key: str
    title: str
    explanation: str
    direction: str = "up"
    capped: bool = True
    optional: bool = False


ASPECTS = (
    Aspect(
        "retained",
        "retained",
        "accuracy above chance on retain domains, as a share of that of zero-shot CLIP",
        capped=False,
    ),
    Aspect(
        "forgot",
        "forgot",
        METRICS["normalised_forgetting"].explanation,
    ),
    Aspect(
        "depth",
        "depth",
        "share of that accuracy which the strongest attack of the core audits does not bring back: 1 minus its "
        "recovery, where chance is 0 and the same attack on zero-shot CLIP is 1",
    ),
    Aspect(
        "depth_oracle",
        "depth, oracle",
        "the same where an oracle, which never saw the forget domains, is 0 in place of chance, so that depth 100 "
        "is as good as never having known",
        optional=True,
    ),
    Aspect(
        "depth_full", "depth, full", "the same as depth, with the attacks of the full audits as well", optional=True
    ),
    Aspect(
        "generality",
        "generality",
        "what `forgot` is on forget-domain images that no method was shown, changed by the filters of `disguise` "
        "(colour, contrast, sharpness, edges)",
    ),
    Aspect(
        "held_out",
        "held out",
        "what `forgot` is on classes that the run was not shown, among these classes alone",
        optional=True,
    ),
    Aspect(
        "collateral",
        "collateral",
        "largest loss of accuracy against zero-shot CLIP: on all retain images, on corrupted ones, on the worst retain "
        "domain, or on other domains of a forgotten artist where each task has some",
        direction="down",
        capped=False,
    ),
)


@dataclass(frozen=True)
class Standing:
    """What one method reaches in one aspect.

    Parameters
    ----------
    estimate
        Mean and interval; values beyond never having known are capped.
    beyond
        Whether the mean is beyond never having known.
    by
        The attack or the loss that it is the value of; empty for other aspects.
    rank
        One more than the number of ranked methods that are better, tested in pairs over seeds and corrected by Holm's
        procedure; None for references and with too few seeds.
    seeds
        The seeds that it rests on.
    """

    estimate: Estimate
    beyond: bool
    by: str
    rank: int | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Forgetting:
    """What audits say of the methods of a board.

    Parameters
    ----------
    standings
        By method, by key of an aspect; what was not measured is absent.
    by_construction
        By method, whether no weight of the backbone was changed in any run, so that removing the learned parts brings
        everything back; methods without `part-off` are absent.
    recoveries
        By method, mean recovery by the name of the attack, `part-off` among them.
    oracles
        The same for models that never saw a forget domain, by the model's name.
    tasks
        Number of tasks.
    """

    standings: Mapping[str, Mapping[str, Standing]]
    by_construction: Mapping[str, bool] = field(default_factory=dict)
    recoveries: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    oracles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tasks: int = 0

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """The aspects that have a column: those of which some method has a value, and those that are always shown."""
        there = {key for own in self.standings.values() for key in own}
        return tuple(aspect for aspect in ASPECTS if not aspect.optional or aspect.key in there)

    def of(self, method: str, key: str) -> Standing | None:
        """Return what a method reaches in an aspect; None where it was not measured."""
        return self.standings.get(method, {}).get(key)
