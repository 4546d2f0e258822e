"""A chosen method: its fields after budget, preset, settings and overrides, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import MethodSpec, Value
from adu_bench.registry.manifest import Field, MethodEntry, PresetEntry
from adu_bench.registry.overrides import fits

Budget = Mapping[str, "Value | Mapping[str, Value]"]
Settings = Mapping[str, Mapping[str, Value]]
Origin = Literal["budget", "tuned", "preset", "given"]
"""Who set a field: the suite's budget, the suite's settings or ``--settings``, the preset, or the user."""


@dataclass(frozen=True)
class ChangedField:
    """A field whose value in a run differs from the default in the method's file."""

    name: str
    default: Value
    value: Value
    origin: Origin


@dataclass(frozen=True)
class Choice:
    """A preset with the user's overrides.

    Parameters
    ----------
    label
        Canonical name: the preset, and overridden fields in sorted order.
    preset, entry
        The chosen preset and its method.
    overrides
        Fields set by the user, typed.
    """

    label: str
    preset: PresetEntry
    entry: MethodEntry
    overrides: Mapping[str, Value]

    def resolve(self, budget: Budget, settings: Settings) -> MethodSpec:
        """Fill in every field: default, then the suite's budget, the preset, the suite's settings, the user.

        An ablation differs from its method only in the fields that it sets, so it also takes the suite's settings for
        the method; its own fields override them.

        Parameters
        ----------
        budget
            Values by field, for all methods that have the field; under a method's name, a mapping for that method.
        settings
            Values by preset.

        Raises
        ------
        UserError
            If the suite sets a field that the method does not have, or to a value of another type.
        """
        fields = {name: value for name, (value, _) in self._resolved(budget, settings).items()}
        return MethodSpec(
            name=self.entry.name,
            source_hash=self.entry.source_hash,
            shared_hash=self.entry.core_hash,
            fields=tuple(sorted(fields.items())),
        )

    def changed(self, budget: Budget, settings: Settings) -> tuple[ChangedField, ...]:
        """Return the fields whose value differs from the default in the method's file, in the order of the fields.

        Parameters and errors are those of `resolve`.
        """
        defaults = {name: field.default for name, field in self.entry.fields.items()}
        return tuple(
            ChangedField(name, defaults[name], value, origin)
            for name, (value, origin) in self._resolved(budget, settings).items()
            if origin is not None and value != defaults[name]
        )

    def _resolved(self, budget: Budget, settings: Settings) -> dict[str, tuple[Value, Origin | None]]:
        """Return the value of each field and who set it; None for a default."""
        fields = self.entry.fields
        found: dict[str, tuple[Value, Origin | None]] = {
            name: (_typed(field, field.default), None) for name, field in fields.items()
        }
        for origin, values in self._layers(budget, settings):
            for name, value in values.items():
                if name not in fields:
                    raise unknown(f"field of {self.entry.name}", name, fields)
                found[name] = (_typed(fields[name], value), origin)
        return found

    def _layers(self, budget: Budget, settings: Settings) -> list[tuple[Origin, Mapping[str, Any]]]:
        """Return what sets fields, the weakest first."""
        own = budget.get(self.entry.name, {})
        if not isinstance(own, Mapping):
            raise UserError(
                f"The suite's budget for '{self.entry.name}' is {own!r}.",
                "The value under a method's name has to be a mapping of its fields.",
                f"Write {self.entry.name}: {{field: value}}.",
            )
        common = {name: value for name, value in budget.items() if name in self.entry.fields}
        whole = settings.get(self.entry.name, {}) if self.preset.group == "ablation" else {}
        return [
            ("budget", {name: value for name, value in common.items() if not isinstance(value, Mapping)}),
            ("budget", own),
            ("tuned", whole),
            ("preset", self.preset.fields),
            ("tuned", settings.get(self.preset.name, {})),
            ("given", self.overrides),
        ]


def _typed(field: Field, value: Any) -> Value:
    """Convert a value so that equal settings give equal keys: 10 in a float field becomes 10.0."""
    if isinstance(value, list):
        value = tuple(value)
    if not fits(field.kind, value):
        raise UserError(
            f"{value!r} is not a valid value for the field '{field.name}'.",
            f"It is a {field.kind}; its default is {field.default!r}.",
            "Correct the suite's budget or settings, or the method's file.",
        )
    return float(value) if field.kind == "float" else value
