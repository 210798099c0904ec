"""The architecture, held by reading the imports."""

import ast
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import fishersft

PACKAGE = Path(fishersft.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ORDER = [
    "errors",
    "paths",
    "text",
    "fields",
    "corpus",
    "design",
    "store",
    "lm",
    "selectors",
    "distributed",
    "pipeline",
    "scoring",
    "experiments",
    "finetuning",
    "judge",
    "catalogue",
    "plots",
    "lessons",
    "export",
    "ui",
    "commands",
]  # a later part may use an earlier one, never the other way


def imports(path, *, top_level_only=False):
    """Dotted names that a file imports; those under TYPE_CHECKING are not imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (a.name for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield child.module or ""
                if child.module and child.module.split(".")[0] == "fishersft":
                    yield from (f"{child.module}.{a.name}" for a in child.names)
            elif not (top_level_only and isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)):
                yield from walk(child)

    return set(walk(tree))


def circle(uses):
    """What is left of {name: names that it uses} when all that use nothing of what is left are taken away, again and again."""
    left = {name: used - {name} for name, used in uses.items()}
    while ends := [name for name, used in left.items() if not used & left.keys()]:
        for name in ends:
            del left[name]
    return sorted(left)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_upwards(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__", "cli"):
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("fishersft.") and name.count(".")}
    later = {name for name in used & set(ORDER) if ORDER.index(name) > ORDER.index(part)}
    assert not later, f"{path.name} imports {later}"
    assert part == "ui" or "streamlit" not in {name.split(".")[0] for name in imports(path)}


def test_every_part_has_its_place():
    parts = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in MODULES}
    assert parts - {"__init__", "__main__", "cli"} <= set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_no_folders_run_in_a_circle():
    """Stated without `ORDER`: some part uses none of those that are left, until none is left."""
    parts: dict[str, set[str]] = {}
    for path in MODULES:
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        used = {name.split(".")[1] for name in imports(path) if name.startswith("fishersft.")}
        parts[part] = parts.get(part, set()) | used
    assert not circle(parts), "a circle among these, or above one"


def test_no_imports_run_in_a_circle():
    """Wherever in a module they stand; the front door, which names everything, is left out."""
    inside = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): p for p in MODULES}
    used = {name: imports(path) & inside.keys() for name, path in inside.items() if name != "fishersft"}
    assert not circle(used), "a circle among these, or above one"


def test_no_class_name_stands_twice():
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, times in names.items() if times > 1]


def test_few_modules_spell_out_the_default_selector():
    """Elsewhere `selectors.DEFAULT_SELECTOR` or the class names it; the rest are settings and examples."""
    assert len([path for path in MODULES if '"token_od"' in path.read_text(encoding="utf-8")]) <= 10


def test_no_module_is_above_400_lines():
    assert not [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 400]


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda p: p.name)
def test_pages_are_thin(path):
    assert len(path.read_text().splitlines()) <= 100
    assert {n.split(".")[0] for n in imports(path)} <= {"streamlit", "fishersft"}


@pytest.mark.parametrize("path", [*MODULES, ROOT / "app.py", *(ROOT / "pages").glob("*.py")], ids=lambda p: p.name)
def test_every_module_says_what_it_is_and_runs_nobodys_pickle(path):
    text = path.read_text(encoding="utf-8")
    assert (path.name == "__init__.py" and not text) or ast.get_docstring(ast.parse(text))
    own = path.name == "reader_process.py"  # it takes what a process of its own wrote, from the pipe between the two
    for banned in (
        *(() if own else ("pickle.load",)),
        "torch.load(",
        "allow_pickle=True",
        "trust_remote_code=True",
        "unsafe_allow_html=True",
    ):
        assert banned not in text


def test_the_public_names_are_those_exported():
    assert fishersft.__all__ == sorted(fishersft.__all__)
    for name in fishersft.__all__:
        assert hasattr(fishersft, name)
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    for node in imported:
        for alias in node.names:
            assert alias.asname == alias.name, "without `as` it is private to the stub"
            assert getattr(fishersft, alias.name) is getattr(import_module(f"fishersft.{node.module}"), alias.name)
    seen = {alias.asname for node in imported for alias in node.names}
    assert {*seen, "__version__"} == set(fishersft.__all__), "what type checkers see is what there is"


def test_shown_code_uses_public_names_only():
    """Strings in the package and the README's code: `fishersft.name`, and no import from a module of ours."""
    texts = {"README.md": "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S))}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts[str(path)] = texts.get(str(path), "") + "\n" + node.value
    for path, text in texts.items():
        called = set(re.findall(r"(?<![\w./-])fishersft\.(\w+)\(", text))
        assert called <= set(fishersft.__all__), path
        for names in re.findall(r"^from fishersft import (.*)$", text, re.M):
            assert {n.strip() for n in names.split(",")} <= set(fishersft.__all__), path
        assert not re.search(r"^(from|import) fishersft\.", text, re.M), path
