"""``python -m adu_bench`` is the command ``adu-bench``."""

import sys

from adu_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
