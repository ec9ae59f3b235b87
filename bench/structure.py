"""How the house is built, in figures: rooms, floors, arrows, and what functions thread.

    bench/structure.py [FOLDER …]

Each folder is a checkout; this one where none is named. Two of them show before and after. Measured
are the Python files of `blsync/`, and the floors of the import contract in pyproject.toml.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from pathlib import Path

MANY = 6
"""Parameters; a function with more is counted."""


def modules(root: Path) -> dict[str, Path]:
    """Return module → file; a package is the module of its `__init__`."""
    found = {}
    for path in sorted((root / "blsync").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the part of a module that says where in the house it is."""
    return module.split(".")[1] if "." in module else "blsync"


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the house that a file imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name in known:
                found.add(name)
            elif name.rpartition(".")[0] in known:
                found.add(name.rpartition(".")[0])
    return found


def functions(path: Path) -> list[list[str]]:
    """Return the parameters of each function, `self` and `cls` left out."""
    return [
        [
            argument.arg
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if argument.arg not in ("self", "cls")
        ]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def floors(root: Path) -> int:
    """Return the layers of the import contract."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    return max(len(contract.get("layers", [])) for contract in contracts["contracts"])


def measures(root: Path) -> dict[str, int]:
    """Return the figures of a checkout."""
    known = modules(root)
    own = {name: path for name, path in known.items() if room_of(name) != "sandbox"}
    arrows = {
        (room_of(name), room_of(target))
        for name, path in own.items()
        for target in imports_of(path, known)
        if room_of(name) != room_of(target)
    }
    signatures = [names for path in own.values() for names in functions(path)]
    sizes = [len(path.read_text().splitlines()) for path in own.values()]
    takes = Counter(name for names in signatures for name in names)
    return {
        "files in blsync/ itself": len(list((root / "blsync").glob("*.py"))),
        "folders of blsync/ (rooms)": sum(
            (folder / "__init__.py").exists() for folder in (root / "blsync").iterdir()
        ),
        "floors of imports": floors(root),
        "arrows between rooms and modules of blsync/": len(arrows),
        "files of more than 400 lines": sum(size > 400 for size in sizes),
        "functions": len(signatures),
        f"functions with more than {MANY} parameters": sum(len(n) > MANY for n in signatures),
        "functions that take settings": takes["settings"],
        "functions that take say": takes["say"],
        "functions that take clock": takes["clock"],
        "functions that take wait": takes["wait"],
        "functions that take a session": takes["session"],
        "lines": sum(sizes),
    }


def main() -> None:
    """Print the figures, a column a folder."""
    roots = [Path(name) for name in sys.argv[1:]] or [Path(__file__).resolve().parent.parent]
    columns = [measures(root) for root in roots]
    width = max(map(len, columns[0]))
    for name in columns[0]:
        print(f"{name:<{width}}", *(f"{column[name]:>7,}" for column in columns))


if __name__ == "__main__":
    main()
