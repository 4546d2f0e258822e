"""A chosen method: its fields after budget, preset, settings and overrides, and where each value came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import MethodSpec, Value
from adu_bench.registry.fields import Field, format_value
from adu_bench.registry.manifest import MethodEntry, PresetEntry

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
    preset, entry
        The chosen preset and its method.
    overrides
        Fields set by the user, typed.
    """

    preset: PresetEntry
    entry: MethodEntry
    overrides: Mapping[str, Value] = field(default_factory=dict)

    @staticmethod
    def parse(preset: PresetEntry, entry: MethodEntry, overrides: Mapping[str, str]) -> Choice:
        """Return the choice for overrides as text.

        Raises
        ------
        UserError
            If there is no such field, or the text is not a value that it may take.
        """
        typed = {}
        for name, text in overrides.items():
            field = _field(entry, name)
            try:
                typed[name] = field.parse(text)
            except ValueError as error:
                example = f"For example {preset.name}[{name}={format_value(field.default)}]."
                raise field.refusal(entry.name, text, example) from error
        return Choice(preset, entry, typed)

    @cached_property
    def label(self) -> str:
        """Canonical name: the preset, and overridden fields in sorted order."""
        inside = ",".join(f"{name}={format_value(value)}" for name, value in sorted(self.overrides.items()))
        return f"{self.preset.name}[{inside}]" if inside else self.preset.name

    def with_field(self, name: str, value: Any) -> Choice:
        """Return the choice with one more field overridden, as a suite's study says.

        Raises
        ------
        UserError
            If there is no such field, or it cannot take the value.
        """
        converted = _converted(self.entry, name, value, lambda field: f"In the suite's studies leave out {value!r}.")
        return replace(self, overrides={**self.overrides, name: converted})

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
            If the suite sets a field that the method does not have, or to a value that the field may not take.
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
        found: dict[str, tuple[Value, Origin | None]] = {
            name: (field.default, None) for name, field in self.entry.fields.items()
        }
        for layer in self._layers(budget, settings):
            for name, value in layer.values.items():
                found[name] = (_converted(self.entry, name, value, layer.remedy), layer.origin)
        return found

    def _layers(self, budget: Budget, settings: Settings) -> list[_Layer]:
        """Return what sets fields, the weakest first."""
        method, preset = self.entry.name, self.preset.name
        own = budget.get(method, {})
        if not isinstance(own, Mapping):
            raise UserError(
                f"The suite's budget for '{method}' is {own!r}.",
                "The value under a method's name has to be a mapping of its fields.",
                f"Write {method}: {{field: value}}.",
            )
        common = {name: value for name, value in budget.items() if name in self.entry.fields}
        common = {name: value for name, value in common.items() if not isinstance(value, Mapping)}
        return [
            _Layer("budget", common),
            _Layer("budget", own, method),
            *([_Layer("tuned", settings.get(method, {}), method)] if self.preset.group == "ablation" else []),
            _Layer("preset", self.preset.fields),
            _Layer("tuned", settings.get(preset, {}), preset),
            _Layer("given", self.overrides),
        ]


@dataclass(frozen=True)
class _Layer:
    """Values of fields from one origin, and the name under which the suite has them; empty for no name."""

    origin: Origin
    values: Mapping[str, Any]
    under: str = ""

    def remedy(self, field: Field) -> str:
        """Return what to write in place of a wrong value of a field."""
        where = "the suite's budget" if self.origin == "budget" else "the settings, of the suite or of --settings,"
        # JSON is YAML: true, null, [1, 2].
        pair = f"{field.name}: {json.dumps(field.default)}"
        return f"In {where} write {self.under}: {{{pair}}}." if self.under else f"In {where} write {pair}."


def _field(entry: MethodEntry, name: str) -> Field:
    if name not in entry.fields:
        raise unknown(f"field of {entry.name}", str(name), entry.fields)
    return entry.fields[name]


def _converted(entry: MethodEntry, name: str, value: Any, remedy: Callable[[Field], str]) -> Value:
    field = _field(entry, name)
    try:
        return field.convert(value)
    except ValueError as error:
        raise field.refusal(entry.name, value, remedy(field)) from error
