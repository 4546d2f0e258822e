"""The names of devices that ``--device`` takes, read without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adu_bench.core.errors import UserError

DEVICES = "auto|cpu|cuda|cuda:N[,N...]"
"""What ``--device`` takes, for its help."""


@dataclass(frozen=True)
class Devices:
    """Where to compute.

    Parameters
    ----------
    kind
        ``auto`` (GPUs where there are any), ``cpu`` or ``cuda``.
    numbers
        The GPUs to use, as torch counts them from 0; empty for all.
    """

    kind: str
    numbers: tuple[int, ...] = ()


def parse_device(text: str) -> Devices:
    """Read the text of ``--device``, for example ``cuda``, ``cuda:1`` or ``cuda:0,1``.

    Raises
    ------
    UserError
        If it names no device, a GPU twice, or a kind of device that is not supported.
    """
    if text in ("auto", "cpu", "cuda"):
        return Devices(text)
    if text.split(":")[0] in ("mps", "xpu"):
        raise UserError(
            f"The device '{text}' is not supported.",
            "Results are only known to be right on CPUs and CUDA devices.",
            "Use --device cpu.",
        )
    if re.fullmatch(r"cuda:\d+(,\d+)*", text, re.ASCII) is None:
        raise UserError(
            f"There is no device '{text}'.",
            "A device is auto, cpu, cuda (all GPUs), or GPUs by number such as cuda:1 or cuda:0,1.",
            "Leave --device out to use what there is.",
        )
    numbers = tuple(int(number) for number in text.removeprefix("cuda:").split(","))
    if len(set(numbers)) < len(numbers):
        raise UserError(
            f"The device '{text}' names a GPU twice.",
            "Workers take the GPUs in turn, so each is named once.",
            f"Use --device cuda:{','.join(map(str, dict.fromkeys(numbers)))}; --jobs sets the number of workers.",
        )
    return Devices("cuda", numbers)
