"""Execute the code cells of notebooks, each in a module ``__main__`` of its own, and show what a cell ends in."""

from __future__ import annotations

import ast
import json
import linecache
import sys
from pathlib import Path
from types import ModuleType


def execute(path: Path) -> None:
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        source, name = "".join(cell["source"]), f"<{path.stem} {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), vars(module))
        if last is not None:
            show(eval(compile(ast.Expression(last.value), name, "eval"), vars(module)))


def show(value: object) -> None:
    print(repr(value))
    for kind in ("_repr_html_", "_repr_png_"):
        shown = getattr(value, kind, lambda: None)()
        if shown is not None:
            print(kind, len(shown))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        execute(Path(argument))
