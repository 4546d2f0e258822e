"""Rebuild the classifier of a finished run from its stored parts."""

from __future__ import annotations

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.files import load_classifier
from adu_bench.registry import Catalogue, load_class
from adu_bench.store import Run


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
