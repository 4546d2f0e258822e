"""adu-bench: benchmark and evaluation suite for approximate domain unlearning of CLIP-like models."""

__version__ = "0.1.0"
