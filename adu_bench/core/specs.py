"""What a run is: the frozen values that change its numbers, and the key that is their hash."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from adu_bench.core.hashing import canonical_json, digest, text_digest

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
    held_out
        Classes that the run neither trains on nor answers, kept for the audit ``held-out``; mostly none.
    """

    dataset: str
    data_hash: str
    domains: tuple[str, ...]
    forget: tuple[str, ...]
    classes: tuple[str, ...]
    template: str
    shots: int
    held_out: tuple[str, ...] = ()

    @property
    def retain(self) -> tuple[str, ...]:
        """The domains to keep, in the data set's order."""
        return tuple(domain for domain in self.domains if domain not in self.forget)

    @property
    def name(self) -> str:
        """The name of the forget set, see `forget_name`, and of the split of the classes where some are held out.

        Tasks of one suite never share it.
        """
        return forget_name(self.forget) + (f", split {self.split}" if self.held_out else "")

    @property
    def split(self) -> str:
        """The name of the split into seen and held-out classes: 4 hexadecimal digits; empty if none is held out."""
        return digest([self.classes, self.held_out])[:4] if self.held_out else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the task as plain values; ``held_out`` is left out where it is empty."""
        values = _values(self)
        if not self.held_out:
            del values["held_out"]
        return values

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Task:
        """Rebuild a task from ``to_dict`` (or from its JSON); errors as in `RunSpec.from_dict`."""
        values = {"held_out": ()} | value
        return Task(**values | {name: tuple(values[name]) for name in ("domains", "forget", "classes", "held_out")})

    @cached_property
    def json(self) -> str:
        """The task as canonical JSON."""
        return canonical_json(self.to_dict())


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


FORGET, RETAIN = "forget", "retain"
KMEANS, WORDS = "kmeans", "words"
SUPERVISIONS = ("wrong", f"missing-{KMEANS}", f"missing-{WORDS}", f"dropped-{FORGET}", f"dropped-{RETAIN}")
"""The ways in which `Supervision.of` makes the few-shot sample worse."""


@dataclass(frozen=True)
class Supervision:
    """How much of the few-shot sample and of its domain labels a method is given; complete and correct by default.

    It changes only what the method is given, never the images or labels that it is tested on; see
    `adu_bench.data.supervision`.

    Parameters
    ----------
    wrong
        Share of the images of each domain that have another domain's label, 0..1.
    missing
        Share of the images of each domain that have a pseudo-label instead of their domain's label, 0..1.
    pseudo
        Where pseudo-labels come from: ``kmeans`` or ``words``; empty if none is missing.
    template
        Text with one ``{}`` for a domain's name, which pseudo-labels use; empty if none is missing.
    dropped
        Share of one domain's images that is left out, 0..1.
    dropped_from
        Which domain: ``forget`` for the first forget domain, ``retain`` for the retain domain that follows it; empty if
        none is dropped.

    Raises
    ------
    ValueError
        If a share is not in 0..1, or the texts do not fit the shares.
    """

    wrong: float = 0.0
    missing: float = 0.0
    pseudo: str = ""
    template: str = ""
    dropped: float = 0.0
    dropped_from: str = ""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.wrong, self.missing, self.dropped)):
            raise ValueError("a share of wrong, missing or dropped images is not between 0 and 1")
        if self.pseudo not in ((KMEANS, WORDS) if self.missing else ("",)) or bool(self.template) != bool(self.missing):
            raise ValueError("missing labels, and only they, need a kind of pseudo-label and a template")
        if self.dropped_from not in ((FORGET, RETAIN) if self.dropped else ("",)):
            raise ValueError("dropped images, and only they, are of a forget or of a retain domain")

    @staticmethod
    def of(name: str, share: float, template: str) -> Supervision:
        """Return the supervision with one share.

        Parameters
        ----------
        name
            One of `SUPERVISIONS`.
        share
            0..1; at 0 all of them are the same complete supervision.
        template
            See `Supervision`.
        """
        what, _, how = name.partition("-")
        if not share:
            return COMPLETE
        if what == "wrong":
            return Supervision(wrong=float(share))
        if what == "missing":
            return Supervision(missing=float(share), pseudo=how, template=template)
        return Supervision(dropped=float(share), dropped_from=how)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that are not neutral."""
        return {name: value for name, value in _values(self).items() if value}

    @cached_property
    def json(self) -> str:
        """The values that are not neutral, as canonical JSON."""
        return canonical_json(self.to_dict())


COMPLETE = Supervision()
"""All images, with their own labels."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which weights a run starts from: the name for people, the hash for the key."""

    name: str
    weights_hash: str

    @cached_property
    def json(self) -> str:
        """The weights as canonical JSON."""
        return canonical_json(_values(self))


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

    @cached_property
    def json(self) -> str:
        """The method as canonical JSON."""
        return canonical_json(_values(self))


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

    @cached_property
    def json(self) -> str:
        """The values as canonical JSON."""
        return canonical_json(_values(self))


@dataclass(frozen=True)
class RunSpec:
    """Everything that changes a run's numbers, and nothing else.

    Values that are neutral and came later than the protocol (no held-out classes, a complete supervision) are not part
    of the key, so that they leave the keys of earlier runs as they are.
    """

    task: Task
    backbone: BackboneSpec
    method: MethodSpec
    training: TrainingSpec
    seed: int
    protocol: int = PROTOCOL
    supervision: Supervision = COMPLETE

    @cached_property
    def key(self) -> str:
        """The run's name: the digest of `to_dict` (20 hexadecimal digits).

        Runs of a plan share tasks and methods, so the JSON of each is made once and not once per run.
        """
        parts = {
            "backbone": self.backbone.json,
            "method": self.method.json,
            "protocol": canonical_json(self.protocol),
            "seed": canonical_json(self.seed),
            **({} if self.supervision == COMPLETE else {"supervision": self.supervision.json}),
            "task": self.task.json,
            "training": canonical_json(self.to_dict()["training"]) if self.protocol == 1 else self.training.json,
        }
        return text_digest("{" + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}")

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain JSON values, as its protocol records it."""
        values = asdict(self) | {"task": self.task.to_dict(), "supervision": self.supervision.to_dict()}
        if self.supervision == COMPLETE:
            del values["supervision"]
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
        ValueError
            If the supervision is not valid.
        """
        method = dict(value["method"])
        method["fields"] = tuple((name, _frozen(item)) for name, item in method["fields"])
        return RunSpec(
            task=Task.from_dict(value["task"]),
            backbone=BackboneSpec(**value["backbone"]),
            method=MethodSpec(**method),
            training=TrainingSpec(**value["training"]),
            seed=value["seed"],
            protocol=value["protocol"],
            supervision=Supervision(**value.get("supervision", {})),
        )


def _frozen(value: Any) -> Value:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _values(flat: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that contains no other: what `asdict` returns, without its deep copies."""
    return {field.name: getattr(flat, field.name) for field in fields(flat)}
