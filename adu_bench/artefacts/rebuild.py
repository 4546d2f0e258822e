"""Rebuild the classifier of a finished run from its stored parts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.files import load_classifier
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue, load_class
from adu_bench.store import Run

AGREEMENT = 0.98
"""Smallest share of answers that must equal those of the run; rounding differs slightly between machines."""


def rebuild(run: Run, backbone: Backbone, catalogue: Catalogue) -> Classifier:
    """Return the classifier that a run evaluated, in eval mode.

    Parameters
    ----------
    run
        A finished run.
    backbone
        The backbone that the run used.
    catalogue
        The known methods; a method may define parts that its classifier needs.

    Raises
    ------
    UserError
        If the method's file was changed since, or the stored classifier does not fit the backbone.
    """
    path = run.file("method.safetensors")
    name = run.spec.method.name
    if name in catalogue.presets:
        entry = catalogue.presets[name][1]
        load_class(entry.path, entry.class_name, run.spec.method.source_hash)
    return load_classifier(path, backbone)


def require_same_answers(run: Run, answers: np.ndarray, stored: pd.DataFrame) -> None:
    """Check that a rebuilt classifier is the one that the run evaluated.

    Parameters
    ----------
    run
        The run.
    answers
        Class indices that the rebuilt classifier gives for the test images, (N,).
    stored
        The run's predictions.

    Raises
    ------
    UserError
        If the answers differ from those that the run stored by more than rounding.
    """
    same = float((stored["predicted"].to_numpy() == answers).mean()) if len(stored) == len(answers) else 0.0
    if same < AGREEMENT:
        raise UserError(
            f"The classifier of the run '{run.path}' could not be rebuilt exactly.",
            f"{100 * same:.1f} % of its answers are those that the run stored; {100 * AGREEMENT:.0f} % must be.",
            f"Use the machine that made the run, or delete it and run the method again: rm -r '{run.path}'",
        )
