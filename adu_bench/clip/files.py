"""Save and load classifiers: the difference from the backbone, as safetensors, without pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.part import Part
from adu_bench.core.errors import UserError
from adu_bench.core.files import open_regular

FORMAT = 1
MOST_CLASSES = 100_000
"""Bound of the classes of a file that a stranger may have written."""


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write the changed weights, and the parts with their settings."""
    tensors = {f"parts.{name}": value for name, value in classifier.parts.state_dict().items()}
    weights = dict(classifier.model.named_parameters())
    tensors |= {f"model.{name}": weights[name] for name in classifier.changed}
    header = {
        "format": FORMAT,
        "backbone": classifier.backbone.spec.name,
        "weights_hash": classifier.backbone.spec.weights_hash,
        "classes": classifier.classes,
        "template": classifier.template,
        "changed": classifier.changed,
        "parts": [[name, type(part).__name__, part.settings] for name, part in classifier.parts.items()],
    }
    # Two names may share one tensor; the file holds a copy for each name.
    copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    save_file(copies, path, metadata={"adu_bench": json.dumps(header)})


def load_classifier(path: Path, backbone: Backbone) -> Classifier:
    """Rebuild a saved classifier on its backbone, in eval mode.

    Only parts of known classes are built: a file can name a class, but cannot contain code.

    Raises
    ------
    UserError
        If the file is not a saved classifier, belongs to other weights, or needs an unknown class of parts.
    """
    try:
        with open_regular(path), safe_open(path, framework="pt", device=str(backbone.device)) as file:
            header = json.loads(file.metadata()["adu_bench"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header["weights_hash"] != backbone.spec.weights_hash:
            raise UserError(
                f"'{path}' does not fit the backbone '{backbone.spec.name}'.",
                f"It was made from '{header['backbone']}' with weights {header['weights_hash']}.",
                f"Load that backbone: --backbone {header['backbone']}",
            )
        return _rebuilt(path, header, tensors, backbone)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"'{path}' is not a saved classifier.",
            f"Reading it gave {type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            "Give the path of the method.safetensors file of a finished run.",
        ) from error


def _rebuilt(path: Path, header: dict[str, Any], tensors: dict[str, torch.Tensor], backbone: Backbone) -> Classifier:
    """Build what a file's header describes; a malformed header can make this raise anything."""
    classes = header["classes"]
    if not isinstance(classes, list) or not 0 < len(classes) <= MOST_CLASSES:
        raise ValueError(f"its classes are not a list of 1 to {MOST_CLASSES:,} names")
    if not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes are not all texts")
    classifier = Classifier(backbone, classes, header["template"])
    if header["changed"]:
        classifier.unfreeze(*header["changed"])
    for name, kind, settings in header["parts"]:
        if kind not in Part.kinds:
            raise UserError(
                f"'{path}' cannot be rebuilt.",
                f"Its part '{name}' is a '{kind}', which no loaded method defines.",
                "Load the method's file first (--from DIR).",
            )
        classifier.add(name, Part.kinds[kind](**settings))
    state = {name.removeprefix("parts."): value for name, value in tensors.items() if name.startswith("parts.")}
    classifier.parts.load_state_dict(state, strict=True)
    with torch.no_grad():
        weights = dict(classifier.model.named_parameters())
        for name in classifier.changed:
            weights[name].copy_(tensors[f"model.{name}"])
    return classifier.eval()
