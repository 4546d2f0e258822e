"""Few-shot prompt training as it is usually published, which the harness is compared with.

Each image is opened, decoded, cropped and normalised in every epoch by a `DataLoader`, the model is open_clip's own,
prompts are inserted by hooks, and the loss of each step is read for the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from adu_bench.speed.reference import encode_with_blocks, reference_prompts
from adu_bench.training.problem import Problem


class Files(Dataset):
    """Labelled image files, transformed as for training with random crops.

    Parameters
    ----------
    paths
        The files.
    labels
        Their class indices.
    transform
        Maps an RGB image to a tensor (3, S, S).
    """

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], transform: Callable[[Image.Image], Tensor]
    ) -> None:
        self.paths, self.labels, self.transform = paths, labels, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[place]) as file:
            return self.transform(file.convert("RGB")), self.labels[place]


def published_loop(
    problem: Problem, paths: Sequence[Path], epochs: int, workers: int, length: int, depth: int
) -> Callable[[], None]:
    """Return a function that trains visual prompts for some epochs on the few-shot images of a problem.

    Parameters
    ----------
    problem
        Gives the backbone, labels and batch size.
    paths
        The few-shot images as files, in the problem's order.
    epochs
        Passes over the files.
    workers
        Processes of the `DataLoader`; 0 to load in this process.
    length, depth
        Prompts per block, and prompted blocks.
    """
    backbone = problem.backbone
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                backbone.preprocessing.size, (0.08, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()),
        ]
    )
    loader = DataLoader(
        Files(paths, problem.train.labels.tolist(), transform),
        batch_size=min(problem.training.batch, len(paths)),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=problem.device.type == "cuda",
    )
    visual, text = backbone.model.visual, problem.classifier().text_features()
    prompts = reference_prompts(visual, length, depth)
    optimiser = torch.optim.SGD(prompts, lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def train() -> None:
        for _ in range(epochs):
            for images, labels in loader:
                features = F.normalize(encode_with_blocks(visual, images.to(problem.device), prompts), dim=-1)
                loss = F.cross_entropy(backbone.logit_scale * features @ text.T, labels.to(problem.device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                loss.item()

    return train


def write_shots(problem: Problem, folder: Path) -> list[Path]:
    """Write a problem's few-shot images as PNG files, and return the files in the problem's order."""
    canvases, paths = problem.full.load(np.arange(len(problem.train))), []
    for number, (canvas, extent) in enumerate(zip(canvases, problem.full.extents.tolist(), strict=True)):
        paths.append(folder / f"{number}.png")
        Image.fromarray(canvas[: extent[0], : extent[1]].transpose(1, 0, 2)).save(paths[-1])
    return paths


def write_photos(count: int, side: int, folder: Path) -> list[Path]:
    """Write smooth random squares as JPEG files, which take about as long to decode as photographs of their size."""
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths
