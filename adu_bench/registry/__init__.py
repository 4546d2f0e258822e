"""Methods by name: found and described by reading their source text, imported only to be run."""

from adu_bench.registry.catalogue import Catalogue, Choice
from adu_bench.registry.loading import load_class
from adu_bench.registry.overrides import format_value

__all__ = ["Catalogue", "Choice", "format_value", "load_class"]
