"""Look at this installation: versions, device, folders, data, weights, methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag, from_option


def options(parser: Any) -> None:
    """Add the command's options."""
    from_option(parser)
    flag(parser, "json", "print JSON objects with name, state, why and remedy")


def run(options: Any) -> int:
    """Print the findings; 1 if something is wrong."""
    from adu_bench.registry import Catalogue
    from adu_bench.workflows.doctor import examine

    findings = examine(Catalogue([Path(options["from"])] if options["from"] else []))
    if options.json:
        print(json.dumps(findings, indent=1))
    else:
        for finding in findings:
            print(f"{finding['name']:<18} {finding['state']:<8} {finding['why']}")
            if finding["remedy"]:
                print(f"{'':<27} {finding['remedy']}")
    return 1 if any(finding["state"] == "wrong" for finding in findings) else 0
