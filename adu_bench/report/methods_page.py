"""The page ``docs/methods.md``: every shipped method with its card and what it reaches on the committed boards.

``python -m adu_bench.report.methods_page`` writes it in a checkout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from adu_bench.core.files import write_text
from adu_bench.core.groups import GROUPS
from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.committed import committed_board
from adu_bench.metrics.measures import METRICS
from adu_bench.registry import Catalogue, Choice, format_value
from adu_bench.report.escape import markdown_code, markdown_text
from adu_bench.report.web.links import paper_address
from adu_bench.suites import Suite, load_suite

PAGE = Path("docs/methods.md")
SUITE, AUDITED = "emoji", "emoji-mini"
_MISSING = "-"
_START = """\
# Methods

Every method that ships, by family, from its card. H is the mean of H on [`{suite}`](../leaderboards/{suite}/README.md)
({tasks} tasks x {seeds} seeds; ablations run on those tasks that forget one domain), `depth` what the strongest core
attack does not bring back on [`{audited}`](../leaderboards/{audited}/README.md), both in per cent, and `s` seconds of
training on `{suite}` while other work shared the machine. A dash means that there is no committed row yet.
`adu-bench show NAME` prints a method's fields with their bounds, and `adu-bench run --methods NAME` runs it.
"""


@dataclass(frozen=True)
class Page:
    """What the page is made from.

    Parameters
    ----------
    root
        A checkout of the project, with its committed rows.
    """

    root: Path

    @cached_property
    def catalogue(self) -> Catalogue:
        """The shipped methods."""
        return Catalogue()

    @cached_property
    def suite(self) -> Suite:
        """The suite whose settings are named."""
        return load_suite(SUITE)

    @cached_property
    def board(self) -> Board:
        """The committed board that H and seconds come from."""
        return committed_board(self.root / "leaderboards", SUITE, self.catalogue)

    @cached_property
    def audited(self) -> Board:
        """The committed board that the depth comes from."""
        return committed_board(self.root / "leaderboards", AUDITED, self.catalogue)

    @cached_property
    def values(self) -> dict[str, Mapping[str, Any]]:
        """The values of each method's row, of the tasks of the ablations for these."""
        rows = [row for board in (self.board.part, self.board) if board is not None for row in board.rows]
        return {row.method: row.values for row in rows}

    def text(self) -> str:
        """Return the page."""
        counts = {"tasks": len(self.board.tasks), "seeds": len(self.board.seeds)}
        parts = [_START.format(suite=SUITE, audited=AUDITED, **counts)]
        for group, what in GROUPS.items():
            names = [name for name, (preset, _) in self.catalogue.presets.items() if preset.group == group]
            if names:
                parts += [f"## {group.capitalize()}\n\n{what[0].upper()}{what[1:]}.\n", *self._family(names)]
        return "\n".join(parts)

    def _family(self, names: list[str]) -> Iterator[str]:
        yield "| method | what it does | H | depth | s |\n|---|---|---:|---:|---:|"
        for name in sorted(names, key=lambda name: -(self.values.get(name, {}).get("h_mean") or 0)):
            cells = [markdown_text(self.catalogue.presets[name][0].summary), *self._numbers(name)]
            yield f"| {markdown_code(name)} | {' | '.join(cells)} |"
        yield ""
        for name in names:
            if self.catalogue.presets[name][1].name == name:
                yield self._card(name)

    def _numbers(self, name: str) -> Iterator[str]:
        """Yield H, depth and seconds as they are shown."""
        forgetting = self.audited.forgetting
        depth = forgetting.of(name, "depth") if forgetting is not None else None
        yield self._shown(name, "h_mean")
        yield f"{100 * depth.estimate.value:.1f}" if depth is not None else _MISSING
        yield self._shown(name, "seconds")

    def _shown(self, name: str, metric: str) -> str:
        value = self.values.get(name, {}).get(metric)
        return METRICS[metric].text(value) if value is not None else _MISSING

    def _card(self, name: str) -> str:
        preset, entry = self.catalogue.presets[name]
        card = entry.card
        source = f"{markdown_text(card['title'])}. {markdown_text(card['authors'])}, {card['year']}"
        if address := paper_address(card["paper"]):
            source += f", [{card['paper']}]({address})"
        parts = [f"### {name}\n", f"{source}.", f"File: `methods/{entry.path.name}`; {markdown_text(card['licence'])}."]
        changed = Choice(preset, entry).changed(self.suite.budget, self.suite.settings)
        if changed:
            fields = ", ".join(f"{field.name} = {format_value(field.value)}" for field in changed)
            parts.append(f"On `{SUITE}`: {markdown_text(fields)}.")
        if card.get("notes"):
            parts.append(f"\n{markdown_text(card['notes'])}")
        return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    root = Path(__file__).parents[2]
    write_text(root / PAGE, Page(root).text())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
