"""A run's key changes with the code that computes its numbers, and with nothing else."""

from __future__ import annotations

import ast
import shutil
import textwrap
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from adu_bench.core.syntax import canonical_code
from adu_bench.registry import Catalogue
from adu_bench.registry.fingerprint import ALWAYS, OUTSIDE, Core, core_digest, imports, method_digest
from adu_bench.registry.local import Module, imported_names

PACKAGE = Path(find_spec("adu_bench").submodule_search_locations[0])
METHODS = Path(find_spec("adu_bench._methods").submodule_search_locations[0])
API = ("adu_bench.api",)


def shipped(folder: Path = METHODS) -> dict:
    catalogue = Catalogue([folder], shipped=False)
    assert catalogue.broken == []
    return {entry.name: entry for _, entry in catalogue.presets.values()}


CORE = Core(PACKAGE)
SHIPPED = shipped()
MODULES = CORE.modules({name for entry in SHIPPED.values() for name in entry.imports})


def copy_texts(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "adu_bench", ignore=shutil.ignore_patterns("resources", "__pycache__"))
    shutil.copytree(METHODS, folder / "methods", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def texts(tmp_path):
    """A copy of the texts of the package and of the shipped methods."""
    return copy_texts(tmp_path)


@pytest.fixture(scope="module")
def core_copy(tmp_path_factory):
    return Core(copy_texts(tmp_path_factory.mktemp("texts")) / "adu_bench")


def hashes(texts: Path) -> dict[str, tuple[str, str]]:
    core = Core(texts / "adu_bench")
    return {name: (entry.source_hash, core.digest(entry.imports)) for name, entry in shipped(texts / "methods").items()}


@pytest.mark.parametrize("module", [*ALWAYS, *OUTSIDE])
def test_the_listed_modules_exist(module):
    assert CORE.path(module).is_file()


def test_every_module_that_the_core_imports_is_either_in_it_or_named_with_a_reason():
    counted = set(CORE.modules(API))
    reached = {name for module in counted for name in imports(ast.parse(CORE.path(module).read_text()))}
    reached = {name for name in reached | set(CORE._homes(API[0])) if CORE.path(name).is_file()}
    assert reached <= counted | set(OUTSIDE)
    assert set(OUTSIDE) <= reached, "an entry of OUTSIDE that the core does not import is superfluous"
    strangers = {
        name for name in counted - set(ALWAYS) if not name.startswith(("adu_bench.clip.", "adu_bench.training."))
    }
    assert not strangers, "add these modules to ALWAYS or to OUTSIDE"
    assert all(OUTSIDE.values())


def reworded(text: str) -> tuple[str, int]:
    """Replace plain docstrings and messages of raised errors; return the new text and the number of replacements."""
    tree, found = ast.parse(text), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            found.append(node.value)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found += node.exc.args
    lines = [line.encode() for line in text.split("\n")]
    places = [node for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for node in sorted(places, key=lambda node: -node.lineno):
        first, last = node.lineno - 1, node.end_lineno - 1
        rest = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + b'"Other words."' + rest]
    return "# A comment.\n\n" + b"\n".join(lines).decode(), len(places)


def test_harmless_edits_keep_the_keys_of_all_shipped_methods(texts):
    before, edited = hashes(texts), 0
    for path in texts.rglob("*.py"):
        text, count = reworded(path.read_text())
        path.write_text(text)
        edited += count
    assert edited > 1000
    beside = [*OUTSIDE, "adu_bench.api", "adu_bench.registry.catalogue", "adu_bench.store.runs", "adu_bench.cli.main"]
    for module in beside:
        path = CORE.path(module).relative_to(PACKAGE)
        with (texts / "adu_bench" / path).open("a") as file:
            file.write("\nCHANGED = 1\n")
    method = texts / "adu_bench/training/method.py"
    method.write_text(method.read_text().replace('"ablation"', '"variant"'))
    for path in (texts / "methods").glob("*.py"):
        path.write_text(
            path.read_text().replace("MIT", "BSD").replace("(1e-3, 3e-1)", "(1e-4, 1.0)").replace('">= 1"', '"> 0"')
        )
    assert hashes(texts) == before


class Flip(ast.NodeTransformer):
    """Changes the first operator or number, or the first name that is read if there is neither."""

    OPERATORS = {
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
        ast.Mult: ast.Add,
        ast.Div: ast.Mult,
        ast.Lt: ast.LtE,
        ast.Gt: ast.Lt,
    }

    def __init__(self, names: bool = False) -> None:
        self.done, self.names = False, names

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if self.done:
            return node
        if type(node) in self.OPERATORS:
            self.done = True
            return self.OPERATORS[type(node)]()
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            self.done = True
            return ast.Constant(node.value + 1)
        if self.names and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.done = True
            return ast.Name(f"{node.id}_", node.ctx)
        return super().generic_visit(node)


def flipped(tree: ast.Module) -> str:
    for names in (False, True):
        flip = Flip(names)
        tree = flip.visit(tree)
        if flip.done:
            return ast.unparse(ast.fix_missing_locations(tree))
    raise AssertionError("nothing to change")


@pytest.mark.parametrize("module", MODULES)
def test_one_changed_operator_of_the_core_changes_the_keys_of_the_methods_that_use_it(core_copy, module):
    before = {name: CORE.digest(entry.imports) for name, entry in SHIPPED.items()}
    path = core_copy.path(module)
    text = path.read_text()
    path.write_text(flipped(ast.parse(text)))
    changed = Core(core_copy.root)
    after = {name: changed.digest(entry.imports) for name, entry in SHIPPED.items()}
    path.write_text(text)
    users = {name for name, entry in SHIPPED.items() if module in CORE.modules(entry.imports)}
    assert users
    assert {name for name in before if after[name] != before[name]} == users
    if module in ALWAYS:
        assert users == set(before)


def with_a_changed_function(module: Module, *names: str) -> Module:
    """A module with one operator changed in its first function of one of these names, or in its first function."""
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
    chosen = next((one for name in names for one in functions if one.name == name), functions[0])
    lines = module.source.splitlines()
    body = textwrap.dedent("\n".join(lines[chosen.lineno - 1 : chosen.end_lineno]))
    changed = textwrap.indent(flipped(ast.parse(body)), " " * chosen.col_offset).splitlines()
    return replace(module, source="\n".join([*lines[: chosen.lineno - 1], *changed, *lines[chosen.end_lineno :]]))


@pytest.mark.parametrize("name", SHIPPED)
def test_one_changed_operator_of_a_method_changes_its_key(name):
    own, *others = SHIPPED[name].modules
    # A method without `unlearn` has that of a base class in another module, which calls one of the other two.
    changed = with_a_changed_function(own, "unlearn", "loss", "prepare")
    assert method_digest([changed, *others]) != SHIPPED[name].source_hash
    assert method_digest([own, *others]) == SHIPPED[name].source_hash
    for other in others:
        several = [with_a_changed_function(one) if one is other else one for one in SHIPPED[name].modules]
        assert method_digest(several) != SHIPPED[name].source_hash, other.name


@pytest.mark.parametrize(
    "line",
    [
        "import adu_bench.training.mmd",
        "import adu_bench.training.mmd as other",
        "from adu_bench.training import mmd",
        "from adu_bench.training.mmd import domain_mmd2",
        "from adu_bench.api import domain_mmd2",
        "from adu_bench.api import domain_mmd2 as other",
        "from adu_bench.api import *",
        "from adu_bench import api",
        "import adu_bench.api as api",
        "import adu_bench",
        "def later():\n    from adu_bench.api import mmd2",
    ],
)
def test_every_way_to_import_a_core_module_counts(line):
    names = imported_names(Module("", Path("m.py"), f"from adu_bench.api import Card, Method\n{line}\n"))
    assert "adu_bench.training.mmd" in CORE.modules(names)
    assert core_digest(names) != core_digest({"adu_bench.api:Card", "adu_bench.api:Method"})


def test_imports_for_type_checkers_are_not_followed():
    text = """
import typing as t
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from adu_bench.store import a
elif t.TYPE_CHECKING:
    from adu_bench.store import b
else:
    from adu_bench.core import c
def f():
    import adu_bench.clip.d
"""
    assert set(imports(ast.parse(text))) == {"adu_bench.core", "adu_bench.core.c", "adu_bench.clip.d"}


METHOD = '''"""A module."""
from adu_bench.api import Card, Method, Preset

class Mine(Method):
    """Do nothing."""

    card = Card(name="mine", notes="one" " two")
    """Where it is from."""
    presets = (Preset("other", group="ablation", summary="Less.", rate=0.5),)
    ranges = {"rate": (0.1, 10.0)}
    bounds = {"rate": "> 0"}
    rate: float = 1.0

    def unlearn(self, problem):
        problem.report(1.0, "done")
        return problem.classifier()
'''


def source_hash(text: str) -> str:
    return method_digest([Module("", Path("mine.py"), text)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"one" " two"', '"three"'),
        ("rate=0.5", "rate=0.25"),
        ("0.1, 10.0", "0.2, 20.0"),
        ("> 0", ">= 0, < 7"),
        ('    bounds = {"rate": "> 0"}\n', ""),
        ("card = ", "card: ClassVar[Card] = "),
        ("    ranges", '    """Presets."""\n    ranges'),
        ('"done"', '"finished"'),
    ],
)
def test_corrected_declarations_keep_the_digest(old, new):
    assert old in METHOD
    assert source_hash(METHOD.replace(old, new)) == source_hash(METHOD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('" two")\n', '" two"); rate = 2\n'),
        ('" two")', '" two", year=now())'),
        ('" two")', '" two", **more)'),
        ('summary="Less."', "summary=f()"),
        ("ranges = {", "ranges = f() or {"),
        ("bounds = {", "bounds = f() or {"),
        ("    rate:", "    ranges = f()\n    rate:"),
        ("card = Card", "card: f() = Card"),
        ("card = Card", "card = other = Card"),
        ('"""Do nothing."""', '"""Do nothing."""; rate = 2'),
        ('"""Do nothing."""', 'f"""Do {nothing()}."""'),
        ("rate: float = 1.0", "rate: float = 2.0"),
    ],
)
def test_code_in_declarations_counts(old, new):
    assert old in METHOD
    assert source_hash(METHOD.replace(old, new)) != source_hash(METHOD)


@pytest.mark.parametrize(
    ("use", "old", "new"),
    [
        ("self.ranges", "0.1, 10.0", "0.2, 20.0"),
        ("self.bounds", "> 0", ">= 0"),
        ('getattr(self, "card")', '"one" " two"', '"three"'),
        ("type(self).presets", "rate=0.5", "rate=0.25"),
        ("self.__doc__", "Do nothing.", "Do something."),
    ],
)
def test_declarations_and_docstrings_count_where_the_code_reads_them(use, old, new):
    text = METHOD.replace("classifier()", f"classifier({use})")
    assert source_hash(text.replace(old, new)) != source_hash(text)


@pytest.mark.parametrize(
    "use",
    [
        "open(__file__).read()",
        "inspect.getsource(type(self))",
        "vars(type(self))",
        "type(self).__dict__",
        "globals()",
        'eval("self.ca" + "rd")',
        'getattr(self, "ca" + "rd")',
        'operator.attrgetter("ca" + "rd")(self)',
        "inspect.getmembers(self)",
        "self.unlearn.__code__.co_firstlineno",
        'inspect.getattr_static(self, "ca" + "rd")',
        "inspect.getdoc(self)",
        '"{0.ca" + "rd.notes}".format(self)',
        'string.Formatter().get_field("0.ca" + "rd", [self], {})',
        "sys._getframe().f_globals",
        "pickle.dumps(type(self))",
        "gc.get_referents(type(self))",
        "locals()",
    ],
)
def test_all_text_counts_where_the_code_looks_itself_up(use):
    text = METHOD.replace("classifier()", f"classifier({use})")
    for old, new in (('"one" " two"', '"three"'), ("Do nothing.", "Do something."), ("= 1.0", "= 1.0  # a comment")):
        assert source_hash(text.replace(old, new)) != source_hash(text)


@pytest.mark.parametrize(
    "code",
    [
        'try:\n    raise ValueError("0.5")\nexcept ValueError as error:\n    rate = float(str(error))',
        'try:\n    raise ValueError("0.5")\nexcept ValueError:\n    rate = float(str(sys.exc_info()[1]))',
        'def report(text):\n    return float(text)\nrate = report("0.5")',
        'warn = float\nrate = warn("0.5")',
        'rate = (lambda report: report("0.5"))(float)',
        'from builtins import float as warn\nrate = warn("0.5")',
        "class Box(Exception):\n    def __init__(self, text):\n        seen.append(text)\n"
        'def f():\n    raise Box("0.5")',
        "class Keep:\n    def __exit__(self, kind, value, trace):\n        seen.append(value)\n"
        'def f():\n    raise ValueError("0.5")',
        'with warnings.catch_warnings(record=True) as seen:\n    warnings.warn("0.5")',
    ],
)
def test_messages_count_where_the_code_may_read_them(code):
    text = f"{METHOD}\n\n{code}\n"
    assert source_hash(text.replace('"0.5"', '"0.25"')) != source_hash(text)


@pytest.mark.parametrize(
    "code",
    [
        'def f():\n    raise ValueError("0.5")',
        'import warnings\nwarnings.warn("0.5")',
        'def f(problem):\n    problem.report("0.5", 1, 2)',
        'try:\n    pass\nexcept KeyError:\n    raise ValueError("0.5") from None',
    ],
)
def test_messages_that_no_code_reads_do_not_count(code):
    text = f"{METHOD}\n\n{code}\n"
    assert source_hash(text.replace('"0.5"', '"0.25"')) == source_hash(text)


@pytest.mark.parametrize(
    "code",
    [
        "class Meta(type):\n    pass\nclass Other(metaclass=Meta):\n    card = Card(name='one')",
        "match method:\n    case Keep(card=found):\n        pass",
        "from pickle import dumps",
    ],
)
def test_declarations_count_where_the_code_may_read_them_otherwise(code):
    text = f"{METHOD}\n\n{code}\n"
    assert source_hash(text.replace('" two"', '" three"')) != source_hash(text)


def test_the_function_of_torch_called_eval_is_no_look_at_itself():
    text = METHOD.replace("classifier()", 'classifier().eval(getattr(self, "rate"))')
    assert source_hash(text.replace('" two"', '" three"')) == source_hash(text)


def test_declarations_count_if_the_file_defines_card_itself():
    text = METHOD.replace("import Card, ", "import ") + "\ndef Card(**values): ...\n"
    assert source_hash(text.replace('" two"', '" three"')) != source_hash(text)


def test_the_digest_of_core_modules_does_not_depend_on_layout():
    """A module that is printed from its syntax tree has the same canonical code."""
    for module in MODULES:
        tree = ast.parse(CORE.path(module).read_text())
        assert canonical_code(ast.parse(ast.unparse(tree))) == canonical_code(tree)


def test_code_in_the_init_file_of_a_package_counts(tmp_path):
    (tmp_path / "api.py").write_text("from adu_bench.sub import f\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "__init__.py").write_text("f = 1\n")
    assert Core(tmp_path).modules(["adu_bench.api:f"]) == ("adu_bench.sub",)
    before = core_digest(["adu_bench.api:f"], tmp_path)
    (tmp_path / "sub" / "__init__.py").write_text("f = 2\n")
    assert core_digest(["adu_bench.api:f"], tmp_path) != before
