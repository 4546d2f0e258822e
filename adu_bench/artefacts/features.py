"""Features of more test images than a run stores."""

from __future__ import annotations

import numpy as np

from adu_bench.artefacts.rebuild import require_same_answers
from adu_bench.clip.classifier import Classifier
from adu_bench.core.seeds import derive
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData
from adu_bench.store import Run
from adu_bench.store.artefacts import Artefact

NAME = "features"


def features_of(run: Run, classifier: Classifier, data: TaskData, count: int = 0) -> Artefact:
    """Compute the features of a run's test images.

    Parameters
    ----------
    run
        The run.
    classifier
        The classifier that it evaluated, rebuilt.
    data
        The images of its task.
    count
        Number of images, drawn with a fixed seed; 0 for all.

    Returns
    -------
    Artefact
        ``features`` float16 (M, D), unit length, and ``rows`` int64 (M,), their positions in the run's predictions.

    Raises
    ------
    UserError
        If the answers of the rebuilt classifier differ from those that the run stored.
    """
    batch, precision = EVALUATION_BATCH[classifier.backbone.device.type], run.spec.training.evaluation
    predictions, features = predict(classifier, data.images("test"), batch, precision)
    require_same_answers(run, predictions["predicted"].to_numpy(), run.predictions())
    rng = np.random.default_rng(derive(0, NAME, run.spec.task.data_hash))
    rows = np.sort(rng.permutation(len(features))[: count or len(features)])
    return Artefact({"features": features[rows].astype(np.float16), "rows": rows.astype(np.int64)}, {"count": count})
