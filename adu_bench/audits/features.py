"""Features of more test pictures than a run keeps."""

from __future__ import annotations

import numpy as np

from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData
from adu_bench.store import Run
from adu_bench.store.artefacts import Artefact

NAME = "features"
AGREEMENT = 0.98
"""Least share of answers that must be those of the run; rounding differs a little between machines."""


def features_of(run: Run, classifier: Classifier, data: TaskData, count: int = 0) -> Artefact:
    """Encode a run's test pictures.

    Parameters
    ----------
    run
        The run.
    classifier
        What it evaluated, rebuilt.
    data
        The pictures of its task.
    count
        How many pictures, drawn by a fixed seed; 0 for all.

    Returns
    -------
    Artefact
        ``features`` float16 (M, D), unit length, and ``rows`` int64 (M,), their positions in the run's predictions.

    Raises
    ------
    UserError
        If the rebuilt classifier does not give the answers that the run stored.
    """
    batch, precision = EVALUATION_BATCH[classifier.backbone.device.type], run.spec.training.evaluation
    predictions, features = predict(classifier, data.images("test"), batch, precision)
    stored = run.predictions()
    same = len(stored) == len(predictions) and (stored["predicted"] == predictions["predicted"]).mean()
    if same < AGREEMENT:
        raise UserError(
            f"The classifier of the run '{run.path}' was not rebuilt as it was.",
            f"It gives {100 * float(same):.1f} % of the answers that the run stored.",
            "Run the method again, and report this with the method's name.",
        )
    rng = np.random.default_rng(derive(0, NAME, run.spec.task.data_hash))
    rows = np.sort(rng.permutation(len(features))[: count or len(features)])
    return Artefact({"features": features[rows].astype(np.float16), "rows": rows.astype(np.int64)}, {"count": count})
