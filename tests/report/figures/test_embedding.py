from __future__ import annotations

import numpy as np
import pytest

from adu_bench.report.figures.embedding import joint, purity

RNG = np.random.default_rng(0)
DOMAINS = np.array(["a", "b"] * 30)


def test_purity_is_one_where_domains_are_apart_and_the_share_of_others_where_not():
    apart = np.where(DOMAINS[:, None] == "a", 1.0, -1.0) + RNG.normal(0, 0.01, (60, 4))
    assert purity(apart, DOMAINS) == 1.0
    mixed = RNG.normal(size=(2000, 6))
    domains = np.array(["a", "b"] * 1000)
    assert purity(mixed, domains) == pytest.approx(0.5, abs=0.02)


def test_feature_sets_share_one_plane_and_come_back_the_same():
    first, second = RNG.normal(size=(40, 5)), RNG.normal(size=(30, 5)) + 20
    places = joint([first, second])
    assert [one.shape for one in places] == [(40, 2), (30, 2)]
    between = np.linalg.norm(places[0].mean(axis=0) - places[1].mean(axis=0))
    assert between > np.linalg.norm(places[0] - places[0].mean(axis=0), axis=1).mean()
    assert all((one == other).all() for one, other in zip(places, joint([first, second]), strict=True))
