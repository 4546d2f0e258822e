"""The numbers of audits, against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from adu_bench.audits.behaviour import answer_shares, auroc, calibration_error, entropies
from adu_bench.audits.collateral import corruptions, same_artist
from adu_bench.audits.membership import advantage
from adu_bench.audits.prototypes import prototype_scores
from adu_bench.audits.scores import accuracy, draw, linear_cka, recovered
from adu_bench.audits.subject import MOST, Outputs, attack_rows, credit
from adu_bench.metrics.probe import ridge
from adu_bench.runner.evaluate import Images
from tests.conftest import make_task

RNG = np.random.default_rng(3)


def made(labels, logits=None, forget=None) -> Outputs:
    labels = np.array(labels)
    count = len(labels)
    forget = np.zeros(count, bool) if forget is None else np.array(forget)
    names = np.array([f"image {place}" for place in range(count)], object)
    domains = np.where(forget, "b", "a").astype(object)
    images = Images(
        np.zeros((count, 4, 4, 3), np.uint8), np.arange(count), names, domains, labels, forget, np.eye(count)
    )
    return Outputs(images, np.eye(count), np.eye(3)[labels] if logits is None else np.array(logits, np.float32))


def test_ties_count_one_over_their_number():
    scores = np.array([[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert credit(scores, np.array([0, 1, 2, 0])) == pytest.approx([1, 1 / 2, 1 / 3, 0])


def test_accuracy_counts_the_masked_images():
    outputs = made([0, 1, 2], [[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert accuracy(outputs) == (pytest.approx(2 / 3), 3)
    assert accuracy(outputs, np.array([False, True, True])) == (0.5, 2)


def test_selected_outputs_keep_images_features_and_logits_together():
    outputs = made([2, 1, 0], forget=[True, False, True])
    some = outputs.where(outputs.forget)
    assert some.labels.tolist() == [2, 0]
    assert some.images.names.tolist() == ["image 0", "image 2"]
    assert some.features.argmax(axis=1).tolist() == [0, 2]
    assert some.credit.tolist() == [1, 1]


def test_probabilities_do_not_overflow():
    outputs = made([0], [[2000.0, 1999.0, -5000.0]])
    assert outputs.p[0] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0])


@pytest.mark.parametrize(
    ("value", "before", "expected"), [(0.25, 0.85, 0), (0.85, 0.85, 1), (0.55, 0.85, 0.5), (0.1, 0.85, -0.25)]
)
def test_recovery_is_zero_at_chance_and_one_where_all_is_back(value, before, expected):
    assert recovered(value, before, 4) == pytest.approx(expected)


def test_nothing_is_recovered_where_there_was_nothing():
    assert recovered(0.9, 0.25, 4) == 0


def test_a_draw_has_the_same_number_of_each_class_from_the_mask():
    labels = np.repeat([0, 1, 2], [10, 10, 2])
    mask = np.arange(22) % 2 == 0
    places = draw(made(labels).images, mask, 3, np.random.default_rng(0))
    assert np.bincount(labels[places]).tolist() == [3, 3, 1]
    assert mask[places].all()
    assert len(set(places)) == len(places)
    again = draw(made(labels).images, mask, 3, np.random.default_rng(0))
    assert (places == again).all()


def test_the_ridge_classifier_separates_what_is_linear_and_nothing_else():
    centres = RNG.normal(size=(4, 20))
    labels = np.repeat(np.arange(4), 50)
    x = centres[labels] + 0.3 * RNG.normal(size=(200, 20))
    judged = centres[labels] + 0.3 * RNG.normal(size=(200, 20))
    assert credit(ridge(x, labels, 5)(judged), labels).mean() > 0.99
    # The scale of features and a constant added to them must not matter.
    moved = ridge(100 * x + 7, labels, 5)(100 * judged + 7)
    assert np.allclose(moved, ridge(x, labels, 5)(judged))
    noise = RNG.normal(size=(200, 20))
    assert credit(ridge(noise, labels, 4)(RNG.normal(size=(200, 20))), labels).mean() < 0.4


def test_the_ridge_classifier_survives_constant_features():
    scores = ridge(np.ones((6, 3)), np.array([0, 0, 0, 1, 1, 2]), 3)(np.ones((2, 3)))
    assert scores[0] == pytest.approx([1 / 2, 1 / 3, 1 / 6])


def test_cka_is_one_after_rotation_and_scaling_and_zero_for_constants():
    x = RNG.normal(size=(60, 8))
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    assert linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert linear_cka(x, RNG.normal(size=(60, 8))) < 0.5
    assert linear_cka(x, np.full((60, 4), 0.3)) == 0
    # By its definition with centred Gram matrices.
    y = x[:, :3] ** 2
    centre = np.eye(60) - 1 / 60
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    assert linear_cka(x, y) == pytest.approx((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))


def test_prototypes_are_means_and_unknown_classes_are_never_the_answer():
    features = np.array([[1.0, 0], [0.8, 0.6], [0, 1]])
    scores = prototype_scores(features, np.array([0, 0, 2]), np.array([[1.0, 0], [0, 1]]), 4)
    mean = np.array([0.9, 0.3]) / np.hypot(0.9, 0.3)
    assert scores[:, 0] == pytest.approx(mean)
    assert scores[:, 2] == pytest.approx([0, 1])
    assert (scores[:, [1, 3]] == -1).all()


def test_the_area_under_the_roc_curve_is_that_of_scikit_learn():
    sign = RNG.integers(0, 5, 200).astype(float)
    positive = RNG.random(200) < 0.3
    assert auroc(sign, positive) == pytest.approx(roc_auc_score(positive, sign))
    rounding = np.full(200, 1 / 15) + np.where(positive, 1e-16, 0)
    assert auroc(rounding, positive) == 0.5


def test_calibration_error_by_hand():
    # Bin 13 of 15: confidence .9 and .92, one of two right; bin 4: confidence .3, right.
    assert calibration_error(np.array([0.9, 0.92, 0.3]), np.array([1.0, 0, 1])) == pytest.approx((0.82 + 0.7) / 3)
    assert calibration_error(np.ones(4), np.ones(4)) == 0


def test_entropy_and_the_share_of_answers():
    p = np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert np.exp(entropies(p)) == pytest.approx([1, 3])
    shares = answer_shares(made([0, 1], [[5, 0, 0], [1, 1, 1]]))
    assert shares == pytest.approx([(1 + 1 / 3) / 2, 1 / 6, 1 / 6])


def test_each_corruption_changes_images_in_its_way():
    image = np.full((48, 48, 3), 255, np.uint8)
    image[12:36, 12:36] = (200, 40, 40)
    found = {name: corrupt(image).astype(float) for name, corrupt in corruptions(np.random.default_rng(0)).items()}
    assert set(found) == {"noise", "blur", "contrast", "jpeg"}
    assert all(each.shape == image.shape for each in found.values())
    assert 20 < (found["noise"] - image)[12:36, 12:36, 1].std() < 30
    assert found["blur"][24, 24] == pytest.approx(image[24, 24], abs=1)
    assert 60 < found["blur"][24, 12, 1] < 230
    assert np.ptp(found["contrast"]) == pytest.approx(0.4 * np.ptp(image), abs=2)
    assert 1 < np.abs(found["jpeg"] - image).mean() < 20


def test_the_artist_of_a_domain_comes_from_the_index():
    task = make_task(("a",))
    rows = pd.DataFrame({"domain": ["a", "b", "c"], "hand": ["first", "first", "second"]})
    assert same_artist(rows, task) == ["b"]
    assert same_artist(rows.assign(hand="first"), task) == []
    assert same_artist(rows.assign(hand=["first", "second", "third"]), task) == []
    assert same_artist(rows.drop(columns="hand"), task) == []


def test_the_attacker_has_no_test_image_and_none_that_the_run_was_shown():
    rows = pd.DataFrame(
        [
            {"pool": pool, "domain": domain, "label": label}
            for pool, count in (("train", 12), ("validation", 9), ("test", 8))
            for domain in "ab"
            for label in "xy"
            for _ in range(count)
        ]
    )
    train = rows.index[rows["pool"] == "train"].to_numpy()
    shown = train[::3]
    chosen = attack_rows(rows, shown)
    assert set(chosen["pool"]) == {"train", "validation"}
    assert not set(chosen.index) & set(shown)
    assert (chosen.groupby(["domain", "label"]).size() == MOST).all()
    assert chosen.index.is_monotonic_increasing
    assert chosen.index.equals(attack_rows(rows, shown).index)


def test_membership_is_judged_within_a_class_and_domain():
    """Shown images of an easy class are no more probable than its other images: that must not look like membership."""
    sure = [[9.0, 0, 0]] * 4
    unsure = [[0.0, 0.1, 0]] * 4
    outputs = made([0] * 4 + [1] * 4, sure + unsure)
    shown = np.array([True, True, True, False, True, False, False, False])
    assert advantage(outputs, shown) == (0.5, 4)
    logits = np.array(sure + unsure)
    logits[0, 0] += 1  # the one shown image that stands out is ahead of the other one of its class
    assert advantage(made([0] * 4 + [1] * 4, logits), shown) == (
        pytest.approx((1 / 3 * 1 + 2 / 3 * 0.5) * 3 / 4 + 0.125),
        4,
    )


def test_membership_without_others_says_nothing():
    assert advantage(made([0, 1]), np.array([True, True])) == (0.5, 0)
