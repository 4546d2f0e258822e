"""Random crops compared with torchvision: distributions of boxes, and pixels, for real images of unusual shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from sklearn.datasets import load_sample_images
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as transforms

from adu_bench.data import preprocessing as module
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.training.augment import CPU_BYTES, crop_and_flip, draw_crops

PACS = Path(__file__).parents[3] / "shared" / "data" / "pacs"
ASPECT = (3 / 4, 4 / 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(width: int, height: int, count: int, smallest: float, seed: int = 0) -> np.ndarray:
    """Boxes in pixels of the original image; the canvas has the same size."""
    extents = torch.tensor([[width, height, width, height]]).repeat(count, 1)
    return draw_crops(extents, smallest, generator(seed)).numpy().astype(np.float64)


def theirs(width: int, height: int, count: int, smallest: float) -> np.ndarray:
    """Left, top, width and height of torchvision's boxes."""
    torch.manual_seed(1)
    image = torch.empty(1, height, width)
    boxes = [RandomResizedCrop.get_params(image, (smallest, 1.0), ASPECT) for _ in range(count)]
    return np.array([(left, top, wide, high) for top, left, high, wide in boxes], float)


@pytest.mark.parametrize("smallest", [0.08, 0.5])
@pytest.mark.parametrize(("width", "height"), [(640, 427), (640, 160), (90, 400), (72, 72)])
def test_boxes_are_distributed_as_torchvision_draws_them(width, height, smallest):
    ours, reference = drawn(width, height, 20_000, smallest), theirs(width, height, 4_000, smallest)
    for name, of in {
        "area": lambda box: box[:, 2] * box[:, 3],
        "aspect": lambda box: box[:, 2] / box[:, 3],
        "left": lambda box: box[:, 0],
        "top": lambda box: box[:, 1],
        "right": lambda box: box[:, 0] + box[:, 2],
        "bottom": lambda box: box[:, 1] + box[:, 3],
        "position": lambda box: box[:, 0] / np.maximum(1, width - box[:, 2]) + box[:, 1] / height,
    }.items():
        assert ks_2samp(of(ours), of(reference)).pvalue > 0.001, name
    assert ours[:, 4].mean() == pytest.approx(0.5, abs=0.02)


def test_the_mean_area_in_a_square_is_that_of_torchvision_and_not_of_clamped_boxes():
    boxes = drawn(500, 500, 200_000, 0.08)
    assert (boxes[:, 2] * boxes[:, 3]).mean() / 500**2 == pytest.approx(0.478, abs=0.002)


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (48, 48, (0, 0, 48, 48)),
        (640, 500, (0, 0, 640, 500)),
        (640, 160, (213, 0, 213, 160)),
        (90, 400, (0, 140, 90, 120)),
        (427, 320, (0, 0, 427, 320)),
    ],
)
def test_the_whole_area_gives_the_whole_image_or_its_central_crop(width, height, box):
    torch.manual_seed(0)
    for made in drawn(width, height, 50, 1.0):
        assert np.abs(made[:4] - box).max() <= 1  # sides are rounded
    top, left, high, wide = RandomResizedCrop.get_params(torch.empty(1, height, width), (1.0, 1.0), ASPECT)
    assert np.abs(np.array([left, top, wide, high]) - box).max() <= 1


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=5),
    st.floats(0.01, 1),
    st.integers(1, 40),
    st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_boxes_lie_on_the_image_and_outputs_are_finite_and_in_range(shapes, smallest, size, seed):
    preprocessing = Preprocessing(size, "bicubic", "shortest")
    rng = np.random.default_rng(seed)
    canvases, extents = [], []
    for width, height in shapes:
        shrink = min(1, preprocessing.canvas / max(width, height))
        on_canvas = [max(1, round(side * shrink)) for side in (width, height)]
        canvas = np.zeros((preprocessing.canvas, preprocessing.canvas, 3), np.uint8)
        canvas[: on_canvas[0], : on_canvas[1]] = rng.integers(0, 256, (*on_canvas, 3))
        canvases.append(canvas)
        extents.append([*on_canvas, width, height])
    crops = draw_crops(torch.tensor(extents), smallest, generator(seed))
    limits = torch.tensor(extents)[:, :2]
    assert (crops[:, :2] >= 0).all()
    assert (crops[:, 2:4] > 0).all()
    assert (crops[:, :2] + crops[:, 2:4] <= limits + 1e-3).all()
    assert set(crops[:, 4].tolist()) <= {0.0, 1.0}
    made = crop_and_flip(torch.from_numpy(np.stack(canvases)), crops, size)
    assert made.shape == (len(shapes), 3, size, size)
    assert torch.isfinite(made).all()
    assert 0 <= made.min() <= made.max() <= 1


def test_a_constant_image_stays_constant_up_to_its_border():
    """Neither the empty part of a canvas nor the image outside the crop affects the result."""
    canvas = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    canvas[:, :50, :40] = 200
    extents = torch.tensor([[50, 40, 170, 136]]).repeat(100, 1)
    made = crop_and_flip(canvas.repeat(100, 1, 1, 1), draw_crops(extents, 0.08, generator()), 32)
    assert (made - 200 / 255).abs().max() < 1e-5


def photographs() -> list[Image.Image]:
    """Two photographs of 640x427 pixels, and parts of them with unusual shapes."""
    china, flower = map(Image.fromarray, load_sample_images().images)
    parts = [china.crop((0, 100, 640, 260)), flower.crop((200, 0, 290, 400)), flower.crop((250, 150, 322, 222))]
    return [china, flower, *parts]


def compared(images: list[Image.Image], size: int, boxes: int = 6) -> np.ndarray:
    """Absolute differences to torchvision's pixels for its own boxes, in 1/255."""
    preprocessing = Preprocessing(size, "bicubic", "shortest")
    torch.manual_seed(0)
    differences = []
    for image in images:
        canvas, (width, height, *original) = preprocessing.full(image)
        shape = torch.empty(1, image.height, image.width)
        scale = np.array([width / original[0], height / original[1]])
        for number in range(boxes):
            top, left, high, wide = RandomResizedCrop.get_params(shape, (0.08, 1.0), ASPECT)
            want = transforms.resized_crop(
                image, top, left, high, wide, [size, size], InterpolationMode.BICUBIC, antialias=True
            )
            if mirror := number % 2:
                want = transforms.hflip(want)
            crop = torch.tensor([[*(scale * (left, top)), *(scale * (wide, high)), mirror]], dtype=torch.float32)
            got = crop_and_flip(torch.from_numpy(canvas)[None], crop, size)[0].permute(1, 2, 0).numpy()
            differences.append(np.abs(got * 255 - np.asarray(want, np.float32)).ravel())
    return np.concatenate(differences)


def real_images(size: int) -> list[Image.Image]:
    if not PACS.is_dir():
        pytest.skip("not run: no PACS images at ../shared/data/pacs")
    return [Image.open(path).convert("RGB") for path in sorted(PACS.rglob("*.*g"))[::size]]


@pytest.mark.parametrize(("images", "size"), [(photographs, 320), (lambda: real_images(120), 120)])
def test_pixels_of_images_that_fit_differ_from_torchvisions_by_rounding_only(images, size):
    """Pillow rounds after each pass, and newer versions start with the vertical pass where that shrinks more: then the
    overshoots that are clamped between the passes differ at a few hard edges."""
    found = compared(images(), size)
    assert found.mean() < 0.3
    assert np.quantile(found, 0.99) < 1
    assert np.quantile(found, 0.999) < 3


@pytest.mark.parametrize(
    ("images", "size", "mean", "quantile"), [(photographs, 224, 2, 50), (lambda: real_images(180), 48, 2, 50)]
)
def test_pixels_of_shrunk_images_stay_close_to_torchvisions(images, size, mean, quantile):
    """Small crops of large images lose detail on the canvas."""
    found = compared(images(), size)
    assert found.mean() < mean
    assert np.quantile(found, 0.999) < quantile


def test_images_are_shrunk_with_the_filter_whose_crops_are_closest(monkeypatch):
    images, chosen = photographs(), module.CANVAS_FILTER
    found = {}
    for name in ("BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"):
        monkeypatch.setattr(module, "CANVAS_FILTER", Image.Resampling[name])
        found[name] = compared(images, 96, boxes=3).mean()
    assert min(found, key=found.get) == chosen.name


def test_cutting_off_unused_pixels_and_working_in_parts_change_nothing():
    count, size = CPU_BYTES // (4 * 3 * 448**2) + 3, 224
    canvases = torch.randint(0, 256, (count, 448, 448, 3), dtype=torch.uint8, generator=generator())
    crops = draw_crops(torch.tensor([[300, 200, 300, 200]]).repeat(count, 1), 0.08, generator())
    whole = crop_and_flip(canvases, crops, size)
    assert torch.allclose(crop_and_flip(canvases[:, :300, :200], crops, size), whole, atol=1e-6)
    single = torch.cat([crop_and_flip(canvases[row : row + 1], crops[row : row + 1], size) for row in range(count)])
    assert torch.allclose(single, whole, atol=1e-6)


def test_crops_are_float32_also_under_autocast():
    canvases = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=generator())
    crops = draw_crops(torch.full((4, 4), 32), 0.08, generator())
    plain = crop_and_flip(canvases, crops, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = crop_and_flip(canvases, crops, 16)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)


def test_no_step_waits_for_the_device():
    """Fake CUDA tensors have no values: an operation that needs one raises an error."""
    with FakeTensorMode():
        canvases = torch.empty(4, 32, 32, 3, dtype=torch.uint8, device="cuda")
        made = crop_and_flip(canvases, torch.empty(4, 5, device="cuda"), 16)
    assert made.shape == (4, 3, 16, 16)
    assert made.device.type == "cuda"
