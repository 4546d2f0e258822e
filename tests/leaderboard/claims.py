"""What pages say about the committed boards: each claim is a text without its numbers, and how to compute them.

``python -m tests.leaderboard.claims`` prints every claim with the numbers that the committed rows give now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import comb
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.aspects import CORE_ATTACKS, Standing
from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.measurements import read_measurements
from adu_bench.leaderboard.published import claims_of
from adu_bench.registry import Catalogue
from adu_bench.report.figures.common import listed
from adu_bench.stats.estimates import Estimate, student

ROOT = Path(__file__).parents[2]
TRAINED = ("adu", "baseline", "lp-plus-plus", "clipfit", "bbf")
"""The methods that the paper compares."""
BEHIND = TRAINED[2:]
"""Those that `adu` is clearly ahead of."""
TOWERS = ("neg-grad-plus", "ntl", "cuti-domain", "sfr-on")
"""Methods that train the whole image tower and are near `adu`."""
OFFICE_HOME, MINI_DOMAINNET = "officehome", "minidomainnet"


def row_of(board: Board, method: str) -> Any:
    """Return the row of a method."""
    (row,) = (row for row in board.rows if row.method == method)
    return row


@dataclass(frozen=True)
class Results:
    """The committed board of ``emoji`` and the paper's table, as claims read them: per cent, and points."""

    board: Board

    @cached_property
    def mini(self) -> Board:
        """The committed board of ``emoji-mini``, whose runs are audited."""
        return committed_board(ROOT / "leaderboards", "emoji-mini", Catalogue())

    def h_of_mini(self, method: str) -> float:
        """Return a method's H on ``emoji-mini``."""
        return 100 * row_of(self.mini, method)["h_mean"]

    def standing(self, method: str, key: str) -> Standing:
        """Return what audits say of a method on ``emoji-mini``."""
        assert self.mini.forgetting is not None
        found = self.mini.forgetting.of(method, key)
        assert found is not None
        return found

    def depth(self, method: str) -> float:
        """Return which share of the knowledge no attack brings back, in per cent."""
        return 100 * self.standing(method, "depth").estimate.value

    def deepest(self) -> str:
        """Return the method of which the strongest attack brings back the smallest share."""
        assert self.mini.forgetting is not None
        ranked = [row.method for row in self.mini.rows if row["letters"]]
        return max((one for one in ranked if self.mini.forgetting.of(one, "depth")), key=self.depth)

    def depth_by_seed(self, method: str) -> pd.Series:
        """Return 1 minus what the strongest attack recovers, by seed, as a fraction."""
        strongest = self.standing(method, "depth").by
        (audit, metric), *_ = (name.split("/", 1) for name, attack in CORE_ATTACKS.items() if attack == strongest)
        found = self.measured
        own = found[(found["method"] == method) & (found["audit"] == audit) & (found["metric"] == metric)]
        return 1 - own.groupby("seed")["value"].mean()

    @cached_property
    def measured(self) -> pd.DataFrame:
        """What audits measured on ``emoji-mini``."""
        return read_measurements(ROOT / "leaderboards", "emoji-mini")

    def deeper(self, method: str, other: str) -> tuple[float, str]:
        """Return how much deeper a method is than another, in points, and the 95 % interval over seeds."""
        gaps = 100 * (self.depth_by_seed(method) - self.depth_by_seed(other))
        found = student(gaps.mean(), gaps.std(ddof=1) / len(gaps) ** 0.5, len(gaps) - 1, len(self.mini.tasks))
        return found.value, f"{found.low:.1f} to {found.high:.1f}"

    def recovery(self, method: str, attack: str) -> float:
        """Return which share of zero-shot accuracy an attack reaches, in per cent."""
        assert self.mini.forgetting is not None
        return 100 * self.mini.forgetting.recoveries[method][attack]

    @cached_property
    def by_task(self) -> Any:
        """Mean over seeds by (metric, method, task)."""
        return self.board.frame.groupby(["metric", "method", "task"])["value"].mean()

    def of(self, method: str, metric: str = "h_mean", size: int = 0, part: bool = False) -> float:
        """Return a method's value on all tasks, on those of one size, or on the board of the ablations."""
        board = self.board.part if part else self.board.sizes[size] if size else self.board
        assert board is not None
        return 100 * row_of(board, method)[metric]

    def ablation(self, method: str) -> float:
        """Return H on the tasks of the ablations, which forget one domain."""
        return self.of(method, part=True)

    def lead(self, method: str, other: str) -> float:
        """Return H of a method minus that of another on all tasks, in points."""
        return self.of(method) - self.of(other)

    def difference(self, method: str, other: str, part: bool = False) -> Estimate:
        """Return the estimate of H of a method minus that of another, as a fraction."""
        board = self.board.part if part else self.board
        assert board is not None
        assert board.sample is not None
        return board.sample.difference(method, other)

    def bounds(self, method: str, other: str, part: bool = False) -> tuple[float, float]:
        """Return the 95 % interval of H of a method minus that of another, in points."""
        found = self.difference(method, other, part)
        assert found.low is not None
        assert found.high is not None
        return 100 * found.low, 100 * found.high

    def span(self, method: str, other: str, part: bool = False) -> str:
        """Return `bounds` in words."""
        low, high = self.bounds(method, other, part)
        return f"{low:.1f} to {high:.1f}"

    def differs(self, method: str, other: str) -> bool:
        """Return whether the 95 % interval of a difference on the tasks of the ablations leaves out zero."""
        low, high = self.bounds(method, other, part=True)
        return not low <= 0 <= high

    def interval(self, method: str) -> str:
        """Return the 95 % interval of a method's H, in per cent."""
        low, high = row_of(self.board, method)["h_interval"]
        return f"{100 * low:.1f} to {100 * high:.1f}"

    def shares_letter(self, method: str, other: str) -> bool:
        """Return whether two methods of the board cannot be told apart."""
        letters = {row.method: set(row["letters"] or "") for row in self.board.rows}
        return bool(letters[method] & letters[other])

    def ranked(self) -> set[str]:
        """Return the methods that have letters."""
        return {row.method for row in self.board.rows if row["letters"]}

    def near_coin(self) -> set[str]:
        """Return the ranked methods whose H is at most two points above that of the coin."""
        return {method for method in self.ranked() if self.lead(method, "coin") <= 2}

    def wins(self, method: str, other: str) -> int:
        """Return the number of tasks on which a method has the higher H."""
        return int((self.by_task["h"][method] > self.by_task["h"][other]).sum())

    def ranks_first(self, *methods: str) -> bool:
        """Return whether methods have falling H, each ahead of every trained method that is not named."""
        values = [self.of(method) for method in methods]
        rest = [self.of(method) for method in TRAINED if method not in methods]
        return values == sorted(values, reverse=True) and (not rest or values[-1] > max(rest))

    @staticmethod
    def paper(method: str, size: int = 1, measure: str = "h", suite: str = OFFICE_HOME) -> float:
        """Return a published value."""
        (claim,) = (one for one in claims_of(suite) if (one.method, one.forget) == (method, size))
        return 100 * {"h": claim.h, "mem": claim.mem, "for": claim.for_}[measure]


@dataclass(frozen=True)
class Claim:
    """A sentence or a part of one.

    Parameters
    ----------
    text
        The text with ``{}`` for each number.
    values
        Computes the numbers; floats are shown with one decimal.
    holds
        Whether the results agree with the words.
    """

    text: str
    values: Callable[[Results], Sequence[Any]] = lambda found: ()
    holds: Callable[[Results], bool] = lambda found: True

    def filled(self, found: Results) -> str:
        """Return the text with the numbers that the results give."""
        shown = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in self.values(found)]
        return self.text.format(*shown)


@dataclass(frozen=True)
class Quoted:
    """Numbers that no file of the project holds, with their source."""

    text: str
    source: str


NOTE = "a public note on the paper, which reports the ablations on Office-Home with one domain forgotten"
QUOTED = (
    Quoted("The paper has 52.6, 56.4, 60.8 and 70.0 on Office-Home", NOTE),
    Quoted("The paper has 56.4, 64.0, 68.6 and 70.0 on Office-Home", NOTE),
    Quoted("seemed to fail (H 52.2 and 31.0)", "the board of emoji under protocol 1"),
    Quoted("the paper reports a rise from 26 % to 79 % for a classifier of the method's own", NOTE),
)

PARTS = ("baseline", "adu-no-ddl", "adu-no-instapg", "adu")
LOSSES = ("adu-no-ddl", "adu-ce-only", "adu-mmd-only", "adu")
VARIANTS = ("adu-mmd-logits", "adu-pair-sum", "adu-fixed-bandwidth", "adu-plain-instapg", "adu-balanced")
SIZES = (1, 2, 3)


def _shape(found: Results) -> tuple[int, int]:
    return len(found.board.tasks), len(found.board.seeds)


def _part(found: Results) -> Board:
    assert found.board.part is not None
    return found.board.part


def _steps(found: Results) -> tuple[int, int]:
    """Return the training steps of `adu` and its number of training images."""
    spec = next(run.spec for run in found.board.runs if run.label == "adu")
    images = spec.task.shots * len(spec.task.classes) * len(spec.task.domains)
    return dict(spec.method.fields)["epochs"] * (images // spec.training.batch), images


READING = (
    Claim("means over {} tasks and {} seeds", _shape),
    Claim("95 % intervals in brackets are for other few-shot draws and other test images, on these tasks"),
    Claim(
        "**The order of the best methods holds.** `adu` is {} points ahead of `baseline` (95 % interval {}), and "
        "ahead on {} "
        "of {} tasks",
        lambda found: (
            *(found.lead("adu", "baseline"), found.span("adu", "baseline")),
            *(found.wins("adu", "baseline"), len(found.board.tasks)),
        ),
        lambda found: found.ranks_first("adu", "baseline"),
    ),
    Claim(
        "it is {} points ahead of `lp-plus-plus` ({}), {} of `clipfit` ({}) and {} of `bbf` ({}). Letters test all {} "
        "pairs of the {} ranked methods, so each pair needs more evidence than alone: `adu` shares one with {}",
        lambda found: (
            *chain.from_iterable((found.lead("adu", other), found.span("adu", other)) for other in BEHIND),
            comb(len(found.ranked()), 2),
            len(found.ranked()),
            listed([f"`{other}`" for other in TRAINED[1:] if found.shares_letter("adu", other)]),
        ),
        lambda found: all(found.bounds("adu", other)[0] > 0 for other in BEHIND),
    ),
    Claim(
        "`anchored`, a method of this project, is {} points ahead of `adu` (95 % interval {}), and {} points behind "
        "`domain-gate`",
        lambda found: (
            found.lead("anchored", "adu"),
            found.span("anchored", "adu"),
            found.lead("domain-gate", "anchored"),
        ),
        lambda found: found.bounds("anchored", "adu")[0] > 0 and found.shares_letter("anchored", "adu"),
    ),
    Claim(
        "`leace`, which erases classes behind a domain probe and trains no tower, is {} points ahead of `adu`",
        lambda found: [found.lead("leace", "adu")],
        lambda found: not found.shares_letter("leace", "adu"),
    ),
    Claim(
        "`neg-grad-plus`, `ntl`, `cuti-domain` and `sfr-on` reach {}, {}, {} and {}: each can be told apart neither "
        "from `adu` nor from `anchored`",
        lambda found: [found.of(method) for method in TOWERS],
        lambda found: all(found.shares_letter(method, other) for method in TOWERS for other in ("adu", "anchored")),
    ),
    Claim(
        "In the paper the lead over the baseline with one domain forgotten is {} points on Office-Home and {} on Mini "
        "DomainNet",
        lambda found: [
            found.paper("adu", suite=suite) - found.paper("baseline", suite=suite)
            for suite in (OFFICE_HOME, MINI_DOMAINNET)
        ],
    ),
    Claim(
        "`lp-plus-plus` is ahead of `clipfit` here, and last in the paper",
        holds=lambda found: (
            found.lead("lp-plus-plus", "clipfit") > 0
            and found.paper("lp-plus-plus") == min(found.paper(method) for method in TRAINED)
        ),
    ),
    Claim(
        "**InstaPG seems to do more than the disentangling loss.** On the {} tasks that forget one style, `baseline` "
        "reaches {}, InstaPG alone {}, disentangling alone {} and both {}",
        lambda found: (len(_part(found).tasks), *map(found.ablation, PARTS)),
        lambda found: sorted(PARTS, key=found.ablation) == ["baseline", "adu-no-instapg", "adu-no-ddl", "adu"],
    ),
    Claim(
        "Over `baseline`, both gain {} points ({}), InstaPG alone {} ({}) and disentangling alone {} ({})",
        lambda found: [
            text
            for method in ("adu", "adu-no-ddl", "adu-no-instapg")
            for text in (found.ablation(method) - found.ablation("baseline"), found.span(method, "baseline", True))
        ],
    ),
    Claim(
        "InstaPG alone is {} points ahead of disentangling alone ({}), just within the noise",
        lambda found: (
            found.ablation("adu-no-ddl") - found.ablation("adu-no-instapg"),
            found.span("adu-no-ddl", "adu-no-instapg", True),
        ),
        lambda found: not found.differs("adu-no-ddl", "adu-no-instapg"),
    ),
    Claim(
        "What disentangling adds to InstaPG, {} points ({}), is not beyond the noise",
        lambda found: (
            found.ablation("adu") - found.ablation("adu-no-ddl"),
            found.span("adu", "adu-no-ddl", True),
        ),
        lambda found: not found.differs("adu", "adu-no-ddl"),
    ),
    Claim(
        "**MMD and cross-entropy cannot be told apart.** With InstaPG, neither reaches {}, cross-entropy alone {}, MMD "
        "alone {} and both {}",
        lambda found: [found.ablation(method) for method in LOSSES],
    ),
    Claim(
        "MMD alone is {} points ahead of cross-entropy alone ({})",
        lambda found: (
            found.ablation("adu-mmd-only") - found.ablation("adu-ce-only"),
            found.span("adu-mmd-only", "adu-ce-only", True),
        ),
        lambda found: not found.differs("adu-mmd-only", "adu-ce-only"),
    ),
    Claim(
        "**The number of forget domains hardly matters.** H of `adu` is {}, {} and {} with one, two and three styles "
        "forgotten, and its For {}, {} and {}",
        lambda found: [found.of("adu", metric, size) for metric in ("h_mean", "for") for size in SIZES],
        lambda found: (
            max(
                abs(found.of("adu", metric, size) - found.of("adu", metric))
                for metric in ("h_mean", "for")
                for size in SIZES
            )
            < 1
        ),
    ),
    Claim(
        "The paper has H {}, {} and {}, and For {}, {} and {}",
        lambda found: [found.paper("adu", size, measure) for measure in ("h", "for") for size in SIZES],
    ),
    Claim(
        "**An H near 50 does not show selective forgetting.** `coin` answers uniformly for a share of all images, "
        "whatever their style, and reaches {}. Of the {} ranked methods, {} are at most two points above it: of the "
        "paper's methods `clipfit` ({}), `bbf` ({}) and `adu-released` ({})",
        lambda found: (
            *(found.of("coin"), len(found.ranked()), len(found.near_coin())),
            *map(found.of, ("clipfit", "bbf", "adu-released")),
        ),
        lambda found: found.near_coin() & {*TRAINED, "adu-released"} == {"clipfit", "bbf", "adu-released"},
    ),
    Claim(
        "**A gate has the highest H.** `domain-gate` detects the style with a linear probe and then answers "
        "uniformly: it reaches {} and leaves CLIP unchanged, {} points ahead of `adu` ({})",
        lambda found: (
            *(found.of("domain-gate"), found.lead("domain-gate", "adu")),
            found.span("domain-gate", "adu"),
        ),
        lambda found: all(found.lead("domain-gate", method) > 0 for method in found.ranked()),
    ),
    Claim(
        "Its Mem falls with the number of forgotten styles ({}, {}, {})",
        lambda found: [found.of("domain-gate", "mem", size) for size in SIZES],
        lambda found: found.of("domain-gate", "mem", 1) > found.of("domain-gate", "mem", 3),
    ),
    Claim(
        "**Learned text prompts lower H, the released forget loss does not.** `adu-released` is unstable: of the "
        "paper's methods it forgets most (For {}) and keeps least (Mem {})",
        lambda found: [found.of("adu-released", metric) for metric in ("for", "mem")],
        lambda found: (
            found.of("adu-released", "for") == max(found.of(row, "for") for row in (*TRAINED, "adu-released"))
            and found.of("adu-released", "mem") == min(found.of(row, "mem") for row in (*TRAINED, "adu-released"))
        ),
    ),
    Claim(
        "its H differs so much between seeds (95 % interval {}) that it shares letters with methods far above it",
        lambda found: [found.interval("adu-released")],
        lambda found: found.shares_letter("adu-released", "adu"),
    ),
    Claim(
        "learned text prompts alone lower H from {} to {} (by {} points), and the released forget loss alone gives {}",
        lambda found: (
            *(found.ablation("adu"), found.ablation("adu-text-prompts"), found.span("adu", "adu-text-prompts", True)),
            found.ablation("adu-neg-entropy"),
        ),
        lambda found: (
            found.differs("adu", "adu-text-prompts") and found.ablation("adu-neg-entropy") > found.ablation("adu")
        ),
    ),
    Claim(
        "**Variants of the two parts cannot be told apart.** MMD on the outputs of the domain classifier reaches {}, "
        "summed over pairs of domains {}, with fixed bandwidths {}, a simpler InstaPG {} and balanced batches {}. None "
        "differs from `adu` ({}) beyond the noise",
        lambda found: [found.ablation(method) for method in (*VARIANTS, "adu")],
        lambda found: not any(found.differs("adu", method) for method in VARIANTS),
    ),
    Claim(
        "**The features keep the domain.** A linear probe finds it in {} % of the images for zero-shot CLIP and in {} "
        "% for "
        "`adu`",
        lambda found: [found.of(method, "domain_probe") for method in ("zero-shot", "adu")],
        lambda found: found.of("adu", "domain_probe") > found.of("zero-shot", "domain_probe"),
    ),
    Claim("A run here has {} steps on {} images", _steps),
    Claim("which were chosen by two tasks and one seed"),
    Claim(
        "That learned text prompts lower H still holds", holds=lambda found: found.differs("adu", "adu-text-prompts")
    ),
)
"""The claims of ``leaderboards/emoji/READING.md``."""

README = (
    Claim(
        "`adu` is {} points of H ahead of `baseline`; `domain-gate`, which removes nothing from the model, is {} "
        "points ahead of `adu`, and `anchored`, a method of this project, {}",
        lambda found: [
            found.lead(*pair) for pair in (("adu", "baseline"), ("domain-gate", "adu"), ("anchored", "adu"))
        ],
        lambda found: found.ranks_first("adu", "baseline"),
    ),
)
"""The claims of README on the board of ``emoji``."""

BOARD = (Claim("The [board of `emoji`] has {} tasks and {} seeds and is committed with every prediction", _shape),)
"""The claim of docs/reading.md."""

AUDITED = ("anchored", *TRAINED, "adu-released")
"""The trained methods in README's table "Did it forget?"."""

UNMOVED = ("lp-plus-plus", "bbf", "domain-gate")
"""Methods that leave the features as they were."""


def _audited(method: str) -> Claim:
    """Return a row of the table of "Did it forget?"."""

    def values(found: Results) -> Sequence[Any]:
        shown = [found.standing(method, key) for key in ("forgot", "depth")]
        halves = [50 * (one.estimate.high - one.estimate.low) for one in shown]
        # Adding 0 turns a rounded -0 into 0.
        forgot, depth = (round(100 * one.estimate.value, 1) + 0.0 for one in shown)
        return found.h_of_mini(method), forgot, halves[0], depth, halves[1], shown[1].by

    return Claim(f"| `{method}` | {{}} | {{}} ± {{}} | {{}} ± {{}} | {{}} |", values)


FORGOT = (
    Claim(
        "On `emoji-mini`, per cent, {} tasks x {} seeds, ± half the 95 % interval over seeds",
        lambda found: (len(found.mini.tasks), len(found.mini.seeds)),
    ),
    *map(_audited, (*AUDITED, "domain-gate")),
    Claim(
        "After the strongest attack {} % of the knowledge is gone in `anchored`, {} % in `adu`, {} % in `clipfit` and "
        "{} % in `baseline`; the others of this table have at most {} %, and",
        lambda found: [found.depth(method) for method in ("anchored", "adu", "clipfit", "baseline", "adu-released")],
        lambda found: (
            found.depth("baseline") > found.depth("adu-released") > max(found.depth(method) for method in UNMOVED)
        ),
    ),
    Claim("has more than {} % (`{}`)", lambda found: (found.depth(found.deepest()), found.deepest())),
    Claim(
        "Tuning on 4 images per class brings `adu` back to {} % of zero-shot CLIP under the same attack, and a linear "
        "probe on its features to {} %",
        lambda found: [found.recovery("adu", attack) for attack in ("relearning", "class-probe")],
        lambda found: "up to 4 labelled forget images per class" in find_audits()["relearning"].card.attacker,
    ),
    Claim(
        "`lp-plus-plus`, `bbf` and `domain-gate` leave the features as they were",
        holds=lambda found: all(abs(found.recovery(method, "class-probe") - 100) < 0.05 for method in UNMOVED),
    ),
    Claim(
        "`domain-gate` has the highest H of these and no depth. [`anchored`] has "
        "the largest, {} points more than `adu` ({}), and an H that is {} points higher",
        lambda found: (*found.deeper("anchored", "adu"), found.h_of_mini("anchored") - found.h_of_mini("adu")),
        lambda found: (
            found.h_of_mini("domain-gate") > max(found.h_of_mini(method) for method in AUDITED)
            and found.depth("anchored") > max(found.depth(method) for method in AUDITED if method != "anchored")
        ),
    ),
)
"""The claims of README's section "Did it forget?"."""

ANCHORED = (
    Claim(
        "its depth is {}, {} points more than that of `adu` ({}). `{}` is {} points deeper ({}), and its H on `emoji` "
        "is {} points lower ({}). `sfr-on` is {} points deeper ({}), and its H is {} points lower ({}), which is "
        "within the noise. These are comparisons of two methods; ranks, which test all pairs, do not tell the four "
        "apart",
        lambda found: (
            *(found.depth("anchored"), *found.deeper("anchored", "adu")),
            *(found.deepest(), *found.deeper(found.deepest(), "anchored")),
            *(found.lead("anchored", found.deepest()), found.span("anchored", found.deepest())),
            *found.deeper("sfr-on", "anchored"),
            *(found.lead("anchored", "sfr-on"), found.span("anchored", "sfr-on")),
        ),
        lambda found: (
            {found.standing(method, "depth").rank for method in ("anchored", found.deepest(), "sfr-on", "adu")} == {1}
            and found.bounds("anchored", "sfr-on")[0] < 0
        ),
    ),
)
"""The claim of docs/anchored.md on the board of ``emoji-mini``."""


def committed_results() -> Results:
    """Read the committed board of ``emoji``."""
    return Results(committed_board(ROOT / "leaderboards", "emoji", Catalogue()))


if __name__ == "__main__":
    found = committed_results()
    for claim in (*READING, *README, *BOARD, *FORGOT, *ANCHORED):
        print(claim.filled(found), "" if claim.holds(found) else "  <-- DOES NOT HOLD")
