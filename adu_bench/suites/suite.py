"""A suite: tasks, seeds, backbone, training budget and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.core.specs import COMPLETE, SUPERVISIONS, Supervision, Task, TrainingSpec, Value
from adu_bench.data.index import data_hash, task_rows
from adu_bench.data.sources import open_source

SHOTS = "shots"
OF_SUITE = (SHOTS, *SUPERVISIONS)
"""Variables of sweeps that are not fields of methods."""
FEWEST_TO_SPLIT = 4
"""A split needs this many classes: at least two on either side."""
MOST_SPLITS = 100
"""The most splits of a sweep."""


@dataclass(frozen=True)
class Sweep:
    """A curve or a comparison: methods, and one field of theirs (or a value of the suite) with several values.

    Parameters
    ----------
    methods
        Methods or groups.
    variable
        A field of the methods, one of `OF_SUITE`, or empty if the methods themselves are compared.
    values
        Values of the variable; empty without a variable.
    forget
        The forget sets of its tasks, see `tasks`; None for all of the suite's.
    splits
        The number of splits of the classes, see `Suite.split`; 0 if no class is held out.
    """

    methods: tuple[str, ...]
    variable: str
    values: tuple[Value, ...]
    forget: tuple[tuple[str, ...], ...] | None = None
    splits: int = 0

    def tasks(self, forget: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
        """Return those forget sets of a suite that the sweep is about."""
        return tuple(subset for subset in forget if self.forget is None or subset in self.forget)


@dataclass(frozen=True)
class Suite:
    """A named set of tasks and how they are run.

    Parameters
    ----------
    name, title
        Name on the command line, and a title of one line.
    dataset
        Name of the data set.
    template
        Text with one ``{}`` for the class name.
    domains
        The domains that take part.
    classes
        Class names in label order.
    forget
        The forget set of each task.
    shots
        Number of training images per (class, domain).
    seeds
        Seeds; each task is run once per seed.
    backbone
        Default backbone.
    training
        Batch size and precision of training.
    methods
        Default methods or groups.
    budget
        Values of fields, for all methods that have a field of this name; under a method's name, a mapping for it alone.
    settings
        Values of fields by preset, chosen on the validation images.
    blocks
        Forget sets by group of methods, for groups that run on fewer tasks than the suite has.
    studies
        Named sweeps, see `Sweep`.
    inferred
        Choices that the paper behind the suite does not state.
    domain_template
        Text with one ``{}`` for a domain's name, for pseudo-labels.
    held_out
        Classes of the data set that runs do not see, see `split`.
    supervision
        What methods are given of the few-shot sample.
    """

    name: str
    title: str
    dataset: str
    template: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    forget: tuple[tuple[str, ...], ...]
    shots: int
    seeds: tuple[int, ...]
    backbone: str
    training: TrainingSpec
    methods: tuple[str, ...]
    budget: Mapping[str, Value | Mapping[str, Value]]
    settings: Mapping[str, Mapping[str, Value]]
    blocks: Mapping[str, tuple[tuple[str, ...], ...]]
    studies: Mapping[str, tuple[Sweep, ...]]
    inferred: tuple[str, ...] = ()
    domain_template: str = "a {} picture."
    held_out: tuple[str, ...] = ()
    supervision: Supervision = COMPLETE

    @cached_property
    def data_hash(self) -> str:
        """Digest of the images that the suite's tasks use."""
        return data_hash(task_rows(open_source(self.dataset).index, self.domains, (*self.classes, *self.held_out)))

    def tasks(self, data_hash: str = "") -> list[Task]:
        """Return the suite's tasks, fewest forget domains first.

        Parameters
        ----------
        data_hash
            Replaces the digest of the images, for machines without the images.
        """
        images = data_hash or self.data_hash
        return [
            Task(self.dataset, images, self.domains, forget, self.classes, self.template, self.shots, self.held_out)
            for forget in self.forget
        ]

    def retain(self, forget: Sequence[str]) -> tuple[str, ...]:
        """Return the domains that a task retains."""
        return tuple(domain for domain in self.domains if domain not in forget)

    def varied(self, variable: str, value: Value) -> Suite:
        """Return the suite with another value of a variable in `OF_SUITE`."""
        assert isinstance(value, int | float)
        if variable == SHOTS:
            return replace(self, shots=int(value))
        return replace(self, supervision=Supervision.of(variable, value, self.domain_template))

    def split(self, number: int) -> Suite:
        """Return the suite with half of its classes seen, and equally many held out.

        Splits 0 and 1 have the same halves of a random order of the classes, exchanged; splits 2 and 3 those of
        another order, and so on.  Of an odd number of classes, the last one of the order is left out of both halves.
        The order depends on the data set and on the number alone.

        Parameters
        ----------
        number
            From 0.

        Raises
        ------
        UserError
            If there are fewer than four classes.
        """
        if len(self.classes) < FEWEST_TO_SPLIT:
            raise UserError(
                f"The {len(self.classes)} classes of '{self.name}' cannot be split.",
                "The seen and the held-out half need two each.",
                "Choose another study, or a suite with more classes.",
            )
        count, half = len(self.classes), len(self.classes) // 2
        order = np.random.default_rng(derive(0, "split", self.dataset, str(number // 2))).permutation(count)
        halves = [
            tuple(self.classes[place] for place in sorted(part)) for part in (order[:half], order[half : 2 * half])
        ]
        seen, held_out = halves[:: -1 if number % 2 else 1]
        return replace(self, classes=seen, held_out=held_out)

    def with_seeds(self, seeds: Sequence[int]) -> Suite:
        """Return the suite with other seeds.

        Raises
        ------
        UserError
            If a seed is negative or given twice, or there is none.
        """
        if not are_seeds(seeds):
            raise UserError(
                f"{list(seeds)} are not valid seeds.",
                "Seeds are different whole numbers from 0, and a seed given twice would count twice.",
                "For example --seeds 3 or --seeds 1,5.",
            )
        return replace(self, seeds=tuple(seeds))

    def with_sizes(self, sizes: Sequence[int]) -> Suite:
        """Return the suite with all forget sets of the given sizes instead of its forget sets.

        Raises
        ------
        UserError
            If a size is below 1, leaves no domain to retain or is given twice, or there is none.
        """
        if len(set(sizes)) != len(sizes):
            raise UserError(
                f"The sizes {', '.join(map(str, sizes))} name one twice.",
                "Each size stands for all of its forget sets.",
                f"Give --sizes {','.join(map(str, sorted(set(sizes))))}.",
            )
        wrong = [size for size in sizes if not 0 < size < len(self.domains)]
        if wrong or not sizes:
            raise UserError(
                f"A task of '{self.name}' cannot forget {wrong[0] if wrong else 'no'} of {len(self.domains)} domains.",
                "A task forgets at least one domain and retains at least one.",
                f"Give sizes from 1 to {len(self.domains) - 1}.",
            )
        if (count := forget_sets(self.domains, sizes)) > MOST:
            raise UserError(
                f"'{self.name}' has {count:.2g} forget sets of these sizes.",
                f"At most {MOST:,} can be planned.",
                "Give fewer --sizes.",
            )
        forget = tuple(subset for size in sorted(sizes) for subset in combinations(self.domains, size))
        return replace(self, forget=forget)


LARGEST_SEED = 2**31 - 1
MOST = 1_000_000
"""Bound of a suite's counts: forget sets, shots, images in a batch."""


def forget_sets(domains: Sequence[str], sizes: Sequence[int]) -> int:
    """Return the number of forget sets of the given sizes."""
    return sum(comb(len(domains), size) for size in sizes if size > 0)


def are_seeds(seeds: Sequence[Any]) -> bool:
    """Return whether values can be seeds: different whole numbers from 0 to `LARGEST_SEED`, at least one."""
    whole = all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in seeds)
    return whole and len(seeds) > 0 and len(set(seeds)) == len(seeds)
