"""Untrusted JSON files: limited in size and depth, finite, without duplicate keys, and checked against a schema."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from adu_bench.core.files import read_text
from adu_bench.core.groups import GROUPS
from adu_bench.leaderboard.outside import OUTSIDE
from adu_bench.leaderboard.rows import FORMAT as ROW_FORMAT
from adu_bench.rerun.sandbox import FOLDER, NAMESPACES
from adu_bench.store.runs import FORMAT as RUN_FORMAT
from adu_bench.submission.refusal import Refused, shown

MOST_BYTES = 4 * 2**20
_DEEPEST = 12
# No control characters, no invisible characters, and none that change the writing direction.
_PRINTABLE = r"\A[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]*\Z"
LABEL = r"\A[a-z0-9][a-z0-9.-]{0,39}(\[[A-Za-z0-9_.,=()' +-]{1,200}\])?\Z"
SUITE = r"\A[a-z0-9][a-z0-9-]{0,39}\Z"


def _text(most: int, pattern: str = _PRINTABLE) -> dict[str, Any]:
    return {"type": "string", "maxLength": most, "pattern": pattern}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _shares(*names: str) -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(dict.fromkeys(names, share))


_KEY = _text(20, r"\A[0-9a-f]{20}\Z")
_SHA256 = _text(64, r"\A[0-9a-f]{64}\Z")
_SHARE_OR_NULL = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_AMOUNT = {"type": "number", "minimum": 0, "maximum": 1e15}
_TEXTS = {"type": "object", "maxProperties": 20, "additionalProperties": _text(200), "propertyNames": _text(40)}
_MEASURED = {
    "seconds": _AMOUNT,
    "trainable_parameters": _AMOUNT,
    "image_passes": _AMOUNT,
    "peak_memory_mb": _AMOUNT,
}
CARD = _object(
    {"title": _text(300), "authors": _text(300), "year": {"type": "integer", "minimum": 1900, "maximum": 2200}},
    {"paper": _text(200), "licence": _text(100), "notes": _text(2000)},
)
FORGET = {"type": "array", "items": _text(80), "minItems": 1, "maxItems": 20}
SEED = {"type": "integer", "minimum": 0, "maximum": 2**31}

MANIFEST = _object(
    {
        "format": {"const": 1},
        "made_with": _text(40),
        "suite": _text(40, SUITE),
        "label": _text(260, LABEL),
        "card": CARD,
        "claimed": _shares("mem", "for", "h_mean", "h_of_means"),
        "runs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "items": _object({"key": _KEY, "claimed": _shares("mem", "for", "h"), "domain_probe": _SHARE_OR_NULL}),
        },
        "files": {"type": "object", "maxProperties": 4001, "additionalProperties": _SHA256},
    }
)
"""Schema of submission.json."""

RUN = _object(
    {
        "format": {"const": RUN_FORMAT},
        "key": _KEY,
        "label": _text(260, LABEL),
        "spec": {"type": "object"},
        "finished": _text(32, r"\A\d{4}-\d\d-\d\dT[0-9:.+Z-]+\Z"),
        "environment": _TEXTS,
        "timings": {"type": "object", "maxProperties": 20, "additionalProperties": _AMOUNT},
        "measured": _object(_MEASURED),
        "checksums": {"type": "object", "maxProperties": 20, "additionalProperties": _SHA256},
        "digest": _KEY,
    }
)
"""Schema of a run's run.json; its spec is compared with the plan's."""

_SCORES = _shares("mem", "for", "h_mean", "h_of_means")
ROW = _object(
    {
        "format": {"const": ROW_FORMAT},
        "label": _text(260, LABEL),
        "group": {"enum": list(GROUPS)},
        "card": CARD,
        "common": {"type": "object"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "items": _object(
                {
                    "key": _KEY,
                    "forget": FORGET,
                    "seed": SEED,
                    "finished": RUN["properties"]["finished"],
                    "measured": _object({}, {**_MEASURED, "domain_probe": _SHARE_OR_NULL}),
                }
            ),
        },
        "environments": {"type": "array", "maxItems": 2000, "items": _TEXTS},
        "predictions": _SHA256,
    },
    {
        "claimed": {"anyOf": [{"type": "null"}, _SCORES]},
        OUTSIDE: _object({"answers": {"enum": ["probabilities", "classes"]}}),
        "verified": {
            "anyOf": [{"type": "null"}, {**_SCORES, "properties": {**_SCORES["properties"], "by": _text(40)}}]
        },
        "reproduced": {
            "anyOf": [
                {"type": "null"},
                _object(
                    {
                        "runs": {"type": "array", "items": _KEY, "minItems": 1, "maxItems": 2000},
                        "seed": {"type": "integer", "minimum": 0},
                        "tolerance": {"type": "number", "minimum": 0, "maximum": 1},
                        "largest_difference": {"type": "number", "minimum": 0, "maximum": 1},
                        "same_answers": {"type": "number", "minimum": 0, "maximum": 1},
                        "isolation": {"enum": [NAMESPACES, FOLDER]},
                        "own_parts": {"type": "boolean"},
                        "by": _text(40),
                    }
                ),
            ]
        },
    },
)
"""Schema of a committed row."""


def read_json(path: Path, schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Read a JSON file.

    Parameters
    ----------
    path
        The file.
    schema
        Its JSON schema.
    name
        Its name in a refusal.

    Raises
    ------
    Refused
        If it is too large or nested too deeply, contains NaN, infinities or duplicate keys, or does not fit the schema.
    """
    try:
        value = json.loads(
            read_text(path, MOST_BYTES),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except OSError as error:
        raise Refused(f"{name} cannot be read: {shown(error.strerror or error)}") from error
    except RecursionError as error:
        raise Refused(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise Refused(f"{name} is not valid JSON: {shown(error, 100)}") from error
    _check_depth(value, name)
    check_schema(value, schema, name)
    return value


def check_schema(value: Any, schema: dict[str, Any], name: str) -> None:
    """Check a value against a JSON schema.

    Raises
    ------
    Refused
        If it does not fit; the message names the place.
    """
    from jsonschema import Draft202012Validator

    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the top level"
        raise Refused(f"{name} is malformed at {shown(place, 80)}: {error.validator} is not fulfilled")


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _check_depth(value: Any, name: str) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _children(outer)]
        if not level:
            return
    raise Refused(f"{name} is nested too deeply")


def _children(value: dict | list) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
