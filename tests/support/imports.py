"""Which files of the packages import which, read from their source."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Imports = dict[str, set[str]]


def package_files(root: Path) -> dict[str, Path]:
    """The files of `collab_sdk`, of the plugins and of the CLI in a checkout, by their dotted names."""
    folders = (root / "collab_sdk", *(root / "plugins").glob("collab_*"), *(root / "cli").glob("collab_*"))
    return {_dotted(path, folder.parent): path for folder in folders for path in sorted(folder.rglob("*.py"))}


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Each imported module with the name that is taken from it ('' for the module itself), in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from ((str(node.module), alias.name) for alias in node.names)


def imports_of(files: Mapping[str, Path]) -> Imports:
    """For each file the files that it names in its imports.

    `import a.b.c` counts as an import of that file alone, although Python runs the `__init__` of `a` and `a.b` first.
    """
    found: Imports = {}
    for importer, path in files.items():
        targets = {
            f"{module}.{name}" if f"{module}.{name}" in files else module for module, name in imported_names(path)
        }
        found[importer] = (targets & files.keys()) - {importer}
    return found


def circles(imports: Imports) -> list[list[str]]:
    """The groups of files that import each other, directly or through others (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(file: str) -> None:
        order[file] = lowest[file] = len(order)
        path.append(file)
        for target in sorted(imports[file]):
            if target not in order:
                visit(target)
            if target in path:
                lowest[file] = min(lowest[file], lowest[target])
        if lowest[file] == order[file]:
            group = path[path.index(file) :]
            del path[path.index(file) :]
            if len(group) > 1:
                found.append(sorted(group))

    for file in sorted(imports):
        if file not in order:
            visit(file)
    return found


def _dotted(path: Path, above: Path) -> str:
    return ".".join(path.relative_to(above).with_suffix("").parts).removesuffix(".__init__")
