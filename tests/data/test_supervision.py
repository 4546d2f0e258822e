"""A spoilt few-shot sample: nested over shares, the same for every forget set and method, and as large as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adu_bench.core.specs import COMPLETE, SUPERVISIONS, Supervision
from adu_bench.data.supervision import dropped_domain, pseudo_labels, supervised
from tests.conftest import make_task

SHARES = (0.1, 0.3, 0.5, 0.7, 1.0)
DOMAINS = np.repeat(np.arange(3), 60)
LABELS = np.tile(np.arange(3), 60)
TASK = make_task()


def features(seed: int = 0, size: float = 3.0) -> np.ndarray:
    """Return features with a large direction of the class and a smaller one of the domain."""
    rng = np.random.default_rng(seed)
    classes, domains = rng.normal(size=(2, 3, 16))
    made = size * classes[LABELS] + domains[DOMAINS] + 0.1 * rng.normal(size=(180, 16))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def words() -> np.ndarray:
    """Return the direction of each domain, as a text tower that knows the domains would give it."""
    found = features()
    centred = found - np.stack([found[label == LABELS].mean(axis=0) for label in LABELS])
    return np.stack([centred[place == DOMAINS].mean(axis=0) for place in range(3)])


def given(name: str, share: float, seed: int = 1, forget: tuple[str, ...] = ("b",)) -> tuple[np.ndarray, np.ndarray]:
    return supervised(
        make_task(forget),
        Supervision.of(name, share, "a {} picture."),
        seed,
        domains=DOMAINS,
        labels=LABELS,
        features=features(),
        words=words,
    )


@pytest.mark.parametrize("share", SHARES)
def test_the_share_of_each_domain_is_wrong(share):
    kept, domains = given("wrong", share)
    assert kept.tolist() == list(range(180))
    wrong = domains != DOMAINS
    assert [wrong[place == DOMAINS].sum() for place in range(3)] == [round(60 * share)] * 3
    assert set(domains) == {0, 1, 2}


def test_images_that_are_wrong_stay_wrong_in_the_same_way():
    before = DOMAINS
    for share in SHARES:
        _, domains = given("wrong", share)
        spoilt = before != DOMAINS
        assert (domains[spoilt] == before[spoilt]).all()
        before = domains


def test_images_that_are_dropped_stay_dropped():
    before = set(range(180))
    for share in SHARES:
        kept = set(given("dropped-forget", share)[0])
        assert kept < before
        assert set(range(60, 120)) - kept == set(range(180)) - kept, "only images of the forget domain are dropped"
        assert len(kept) == 180 - round(60 * share)
        before = kept


def test_the_domain_after_the_forgotten_one_is_the_retain_domain_that_is_dropped():
    some = Supervision.of("dropped-retain", 0.5, "")
    assert [dropped_domain(make_task((domain,)), some) for domain in "abc"] == ["b", "c", "a"]
    assert dropped_domain(make_task(("b", "c")), some) == "a"
    kept, domains = given("dropped-retain", 1.0)
    assert set(domains) == {0, 1}
    assert (domains == DOMAINS[kept]).all()


@pytest.mark.parametrize("name", ["wrong", "missing-kmeans", "missing-words"])
def test_labels_do_not_depend_on_what_is_forgotten_but_on_the_seed(name):
    one, other = given(name, 0.5), given(name, 0.5, forget=("a", "c"))
    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert not np.array_equal(given("wrong", 0.5)[1], given("wrong", 0.5, seed=2)[1])


@pytest.mark.parametrize("share", SHARES)
def test_clusters_find_domains_that_are_weaker_than_classes(share):
    """With labels the clusters are named by them, without any by the domains' words."""
    assert (given("missing-kmeans", share)[1] == DOMAINS).mean() > 0.95


def test_words_that_say_nothing_are_not_asked_where_labels_are_known():
    def unknown() -> np.ndarray:
        raise AssertionError("asked")

    known = np.arange(180) % 10 == 0
    found = pseudo_labels("kmeans", 3, 1, DOMAINS, known, LABELS, features(), unknown)
    assert (found == DOMAINS).mean() > 0.95
    with pytest.raises(AssertionError, match="asked"):
        pseudo_labels("kmeans", 3, 1, DOMAINS, known & False, LABELS, features(), unknown)


def test_words_label_only_what_is_missing():
    wrong = np.roll(words(), 1, axis=0)
    missing = {}
    for share in (0.3, 0.5):
        _, domains = supervised(
            TASK, Supervision.of("missing-words", share, "{}"), 1,
            domains=DOMAINS, labels=LABELS, features=features(), words=lambda: wrong,
        )  # fmt: skip
        missing[share] = domains != DOMAINS
        assert 0 < missing[share].sum() <= round(180 * share)
    assert (missing[0.3] <= missing[0.5]).all()


@pytest.mark.parametrize("name", SUPERVISIONS)
def test_a_share_of_zero_is_complete(name):
    assert Supervision.of(name, 0, "a {} picture.") == COMPLETE
    kept, domains = given(name, 0.0)
    assert kept.tolist() == list(range(180))
    assert (domains == DOMAINS).all()


@pytest.mark.parametrize(
    "values",
    [
        {"wrong": 1.1}, {"wrong": -0.1}, {"wrong": float("nan")}, {"missing": 0.5}, {"pseudo": "kmeans"},
        {"missing": 0.5, "pseudo": "words"}, {"missing": 0.5, "pseudo": "other", "template": "{}"},
        {"dropped": 0.5}, {"dropped": 0.5, "dropped_from": "openmoji"}, {"dropped_from": "forget"},
    ],
)  # fmt: skip
def test_a_supervision_that_makes_no_sense_is_refused(values):
    with pytest.raises(ValueError, match=r"share|missing|dropped"):
        replace(COMPLETE, **values)
