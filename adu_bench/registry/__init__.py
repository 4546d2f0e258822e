"""Methods by name: found and described by reading their source text, imported only to be run."""

from adu_bench.registry.catalogue import Catalogue, Choice, load_class

__all__ = ["Catalogue", "Choice", "load_class"]
