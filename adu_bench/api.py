"""Everything that a method may use; a method file imports this module and torch, nothing else of adu-bench."""

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.conditioned import ImageContexts, bottleneck
from adu_bench.clip.heads import DomainGate, DomainHead, UniformAnswer
from adu_bench.clip.lora import LowRank
from adu_bench.clip.part import Part
from adu_bench.clip.prompts import InstaPG, TextPrompts, VisualPrompts
from adu_bench.core.errors import Diverged, RunFailed
from adu_bench.training.augment import crop_and_flip
from adu_bench.training.gate import add_domain_gate
from adu_bench.training.loop import Losses, fit
from adu_bench.training.losses import domain_ce, memorize, neg_entropy, uniform_ce
from adu_bench.training.method import Card, Method, Preset
from adu_bench.training.mmd import domain_mmd2, mmd2
from adu_bench.training.problem import Batch, Problem
from adu_bench.training.selection import harmonic_h

__all__ = [
    "Backbone",
    "Batch",
    "Card",
    "Classifier",
    "Diverged",
    "DomainGate",
    "DomainHead",
    "ImageContexts",
    "InstaPG",
    "Losses",
    "LowRank",
    "Method",
    "Part",
    "Preset",
    "Problem",
    "RunFailed",
    "TextPrompts",
    "UniformAnswer",
    "VisualPrompts",
    "add_domain_gate",
    "bottleneck",
    "crop_and_flip",
    "domain_ce",
    "domain_mmd2",
    "fit",
    "harmonic_h",
    "memorize",
    "mmd2",
    "neg_entropy",
    "uniform_ce",
]
