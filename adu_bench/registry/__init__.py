"""Methods by name: they are found and described from their source text, and imported only to run."""

from adu_bench.registry.catalogue import Catalogue
from adu_bench.registry.choice import ChangedField, Choice
from adu_bench.registry.fields import format_value
from adu_bench.registry.loading import load_class
from adu_bench.registry.source import MethodSource, method_source

__all__ = ["Catalogue", "ChangedField", "Choice", "MethodSource", "format_value", "load_class", "method_source"]
