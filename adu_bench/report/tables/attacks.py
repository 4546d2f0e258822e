"""Tables of attacks: what each recovers from each method, and how well it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adu_bench.leaderboard.aspects import FULL_ATTACKS
from adu_bench.leaderboard.board import Board
from adu_bench.maintenance.audits import LOCKED, SILENT, AttackCheck
from adu_bench.report.escape import markdown_code
from adu_bench.report.figures.common import percent
from adu_bench.report.tables.forgetting import audited, found_of
from adu_bench.report.tables.table import Cell, Table, markdown

RECOVERIES = "Recovery by attack, per cent: 100 is zero-shot CLIP under the same attack, 0 is chance."
_NAMES = {kind: ", ".join(map(markdown_code, names)) for kind, names in (("silent", SILENT), ("locked", LOCKED))}
CHECKS = (
    "How well each attack measures. *AUC*: how often it recovers more from a run of a model that knows (`zero-shot`, "
    f"`prompt-tuning`) than from one that does not; 1.00 is best, .50 is guessing. {_NAMES['silent']} knows nothing in "
    "its answers. Its features know everything, so attacks on features have no value there; for these, "
    f"{_NAMES['locked']} are among the models that know. The oracle never saw the forget domains; as far as it "
    "recognises them, its AUC is lower. *Rank correlation*: Spearman's, of methods between two seeds, mean over pairs "
    "of seeds."
)


def recoveries_table(board: Board) -> Table:
    """Return the mean recovery of each attack: one row per audited method, then one per oracle."""
    found = found_of(board)
    models = {row.method: found.recoveries.get(row.method, {}) for row in audited(board)}
    every = [*models.values(), *found.oracles.values()]
    names = [name for name in FULL_ATTACKS.values() if any(name in own for own in every)]

    def rows(kind: Mapping[str, Mapping[str, float]]) -> tuple[tuple[Cell, ...], ...]:
        return tuple(
            (Cell(model, name=True), *(Cell(percent(own[name]) if name in own else "-") for name in names))
            for model, own in kind.items()
        )

    parts = tuple(part for part in (rows(models), rows(found.oracles)) if part)
    return Table(("method", *names), parts, "l" + "r" * len(names))


def checks_table(checks: Sequence[AttackCheck]) -> Table:
    """Return how well attacks measure: one row per attack."""

    def number(value: float | None) -> Cell:
        return Cell("-" if value is None else f"{value:.2f}")

    rows = tuple(
        (
            Cell(check.name),
            number(check.silent),
            number(check.oracle),
            number(check.correlation),
            Cell(str(check.methods)),
            Cell(str(check.seeds)),
        )
        for check in checks
    )
    columns = ("attack", f"AUC, {', '.join(SILENT)}", "AUC, oracle", "rank correlation", "methods", "seeds")
    return Table(columns, (rows,), "lrrrrr")


def attacks_markdown(board: Board, checks: Sequence[AttackCheck]) -> str:
    """Return the recoveries by attack and how well attacks measure, as Markdown without a heading."""
    return "\n".join([RECOVERIES, "", markdown(recoveries_table(board)), CHECKS, "", markdown(checks_table(checks))])
