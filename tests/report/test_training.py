"""The curves of a run: read from its log, drawn, and printed by the command that shows a run."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from adu_bench.cli import main
from adu_bench.core.errors import UserError
from adu_bench.report.figures.training import curves_of_run, training_figure
from adu_bench.report.terminal.training import curve_lines, sparkline
from adu_bench.store import Store
from tests.conftest import forge_run, write_run
from tests.leaderboard.test_board import planned

ENTRIES = [
    {"epoch": 1.0, "lr": 0.5, "kept": 4.0},
    {"epoch": 2.0, "lr": 0.25, "kept": 2.0, "late": 7.0},
    {"epoch": 3.0, "lr": 0.125, "kept": 3.0, "late": float("inf")},
]


def logged(root, entries, seed=1):
    """Return a finished run whose log has these entries, or these lines."""
    key = write_run(root, planned("adu", "paper", seeds=(seed,))[0].spec, "adu[gamma=3.0]")
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    (root / key / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
    checksums = Store(root).load(key).info["checksums"]
    forge_run(root / key, checksums={**checksums, "train.jsonl": ""})
    return Store(root).load(key)


def test_curves_are_numbers_by_epoch_and_leave_out_what_is_not_finite(tmp_path):
    curves = curves_of_run(logged(tmp_path, ENTRIES))
    assert (curves.index.name, list(curves.index), list(curves)) == ("epoch", [1, 2, 3], ["lr", "kept", "late"])
    assert list(curves["kept"]) == [4, 2, 3]
    assert np.isnan(curves["late"].to_numpy()[[0, 2]]).all()


def test_entries_of_two_trainings_are_numbered(tmp_path):
    curves = curves_of_run(logged(tmp_path, [*ENTRIES, ENTRIES[0]]))
    assert (curves.index.name, list(curves.index)) == ("entry", [1, 2, 3, 4])


def test_a_figure_has_one_panel_per_value(tmp_path):
    figure = training_figure(logged(tmp_path, [{**entry, "more": 1.0} for entry in ENTRIES]))
    assert isinstance(figure, Figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["lr", "kept", "more", "late"]
    assert list(panels[1].lines[0].get_ydata()) == [4, 2, 3]
    with pytest.raises(UserError, match="has no curves"):
        training_figure(logged(tmp_path, [], seed=2))


def test_a_curve_is_printed_between_its_lowest_and_highest_value(tmp_path):
    assert sparkline(np.arange(8.0)) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.ones(3)) == "▁▁▁"
    assert sparkline(np.repeat([0.0, 1.0], 500)) == "▁" * 20 + "█" * 20
    run = logged(tmp_path, ENTRIES)
    assert list(curve_lines(run)) == [
        "Training, by epoch (1 to 3):",
        "  lr    █▃▁  0.5 to 0.125",
        "  kept  █▁▅  4 to 3",
        "  late  ▁    7 to 7",
    ]
    assert next(line for line in curve_lines(run, "ascii") if "kept" in line) == "  kept  #_-  4 to 3"


def test_the_command_shows_a_run_by_the_beginning_of_its_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = logged(tmp_path / "runs", ENTRIES)
    assert main(["show", run.key[:6]]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("adu[gamma=3.0], forget a, seed 1\n")
    assert run.key in shown
    assert "kept" in shown
    assert main(["show", run.key, "--figure", "curves.png"]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["show", "0123456789"]) == 2
    assert "does not name a finished run in 'runs'" in capsys.readouterr().err
    logged(tmp_path / "runs", ["[1, 2]"])
    assert main(["show", run.key]) == 2
    assert "is damaged" in capsys.readouterr().err
