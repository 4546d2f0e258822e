"""The shipped methods, one file each; they import :mod:`adu_bench.api` only."""
