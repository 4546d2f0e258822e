"""What a run is: the frozen values that change its numbers, and the key that is their hash."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from adu_bench.core.hashing import digest

PROTOCOL = 2
"""Version of the evaluation protocol; part of every key, so that boards never mix protocols.  Protocol 2 trains on
random crops of whole images, follows Dassl's learning rates, and records the precision of evaluation."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""``fp32``: single precision throughout.  ``tf32``: matrix products of an NVIDIA GPU round their inputs to 10 bits of
mantissa, which is several times as fast; the same as ``fp32`` elsewhere.  ``bf16``, ``fp16``: autocast; logits,
normalisation, losses and the MMD stay in single precision.  Against ``fp32``, ``bf16`` gave 98.2 to 100 % of the same
answers and ``fp16`` 92 to 100 %, so no shipped suite uses ``fp16``."""

Value = bool | int | float | str | tuple["Value", ...] | None
"""A hyper-parameter's value."""


@dataclass(frozen=True)
class Task:
    """One unlearning problem: forget some domains of a data set, keep the others, on a fixed class set.

    Parameters
    ----------
    dataset
        Name of the data source.
    data_hash
        Hash of the index rows (image, domain, label, pool, content) of the task's domains and classes.
    domains
        All domains, in the data set's order.
    forget
        The domains to forget: a proper, non-empty subset of ``domains``, in the same order.
    classes
        Class names in label order.
    template
        Text template with one ``{}`` for the class name.
    shots
        Training images for each (class, domain) pair.
    """

    dataset: str
    data_hash: str
    domains: tuple[str, ...]
    forget: tuple[str, ...]
    classes: tuple[str, ...]
    template: str
    shots: int

    @property
    def retain(self) -> tuple[str, ...]:
        """The domains to keep, in the data set's order."""
        return tuple(domain for domain in self.domains if domain not in self.forget)

    @property
    def name(self) -> str:
        """The name of the forget set, see `forget_name`; tasks of one suite never share it."""
        return forget_name(self.forget)


def forget_name(domains: Iterable[str], joiner: str = "+") -> str:
    """Return the name of a forget set; different sets have different names.

    Parameters
    ----------
    domains
        The forget domains.  One that contains ``+`` or a quotation mark is put in double quotes, as in JSON: the
        domains ``b`` and ``w`` give ``b+w``, the single domain ``b+w`` gives ``"b+w"``.
    joiner
        What stands between two domains: ``+``, with spaces around it where lines may break.
    """
    return joiner.join(
        json.dumps(domain, ensure_ascii=False) if "+" in domain or '"' in domain else domain for domain in domains
    )


@dataclass(frozen=True)
class BackboneSpec:
    """Which weights a run starts from: the name for people, the hash for the key."""

    name: str
    weights_hash: str


@dataclass(frozen=True)
class MethodSpec:
    """A method with every hyper-parameter resolved.

    Parameters
    ----------
    name
        Name of the method's class entry in the registry (not of a preset: presets only set fields).
    source_hash
        Digest of the method's file.
    shared_hash
        Digest of the shared training code that the file uses.
    fields
        All hyper-parameters as sorted ``(name, value)`` pairs.
    """

    name: str
    source_hash: str
    shared_hash: str
    fields: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class TrainingSpec:
    """How a run computes.

    Parameters
    ----------
    batch
        Images per training step.
    precision
        Numerical precision of training, one of `PRECISIONS`.
    evaluation
        The same of evaluation and of frozen features.
    """

    batch: int
    precision: str
    evaluation: str = "fp32"


@dataclass(frozen=True)
class RunSpec:
    """Everything that changes a run's numbers, and nothing else."""

    task: Task
    backbone: BackboneSpec
    method: MethodSpec
    training: TrainingSpec
    seed: int
    protocol: int = PROTOCOL

    @cached_property
    def key(self) -> str:
        """The run's name: a digest of the whole spec (20 hexadecimal digits)."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain JSON values, as its protocol records it."""
        values = asdict(self)
        if self.protocol == 1:
            del values["training"]["evaluation"]
        return values

    @staticmethod
    def from_dict(value: dict[str, Any]) -> RunSpec:
        """Rebuild a spec from ``to_dict`` (or from its JSON).

        Raises
        ------
        KeyError, TypeError
            If a field is missing or unknown.
        """
        task, method = dict(value["task"]), dict(value["method"])
        for name in ("domains", "forget", "classes"):
            task[name] = tuple(task[name])
        method["fields"] = tuple((name, _frozen(item)) for name, item in method["fields"])
        return RunSpec(
            task=Task(**task),
            backbone=BackboneSpec(**value["backbone"]),
            method=MethodSpec(**method),
            training=TrainingSpec(**value["training"]),
            seed=value["seed"],
            protocol=value["protocol"],
        )


def _frozen(value: Any) -> Value:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
