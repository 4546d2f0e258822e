"""Types of the functions that are imported when they are first used."""

from adu_bench.workflows.applied import evaluate as evaluate
from adu_bench.workflows.bring import bring as bring
from adu_bench.workflows.runs import load_runs as load_runs
from adu_bench.workflows.runs import run as run
from adu_bench.workflows.scaffold import new_method as new_method

__version__: str
