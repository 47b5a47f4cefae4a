"""Reader of Python sources for the rules of the house: files, imports, strings and comments with their lines.

Files are those git would commit (tracked, or untracked and not ignored); without git, all below the root that are
not in hidden or build folders.
"""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_BUILT = frozenset({"__pycache__", "build", "dist", "data"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file; `path` is relative to the root, with slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The name it is imported by: `shard.messages`, and `shard` for shard/__init__.py."""
        return ".".join(PurePosixPath(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module; `is_nested` when the statement stands inside a function or a class."""

    module: str
    line: int
    is_nested: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule, and what to do about it."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def read(root: Path) -> tuple[Source, ...]:
    """Return every Python file of a project, in the order of their paths."""
    paths = _listed_by_git(root) if (root / ".git").exists() else None
    texts = {path: (root / path).read_text(encoding="utf-8") for path in sorted(paths or _walked(root))}
    return tuple(Source(path, text, ast.parse(text, path)) for path, text in texts.items())


def _listed_by_git(root: Path) -> list[str] | None:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return [path for path in listed.split("\0") if path and (root / path).is_file()]


def _walked(root: Path) -> list[str]:
    paths = (path.relative_to(root) for path in root.rglob("*.py"))
    return [path.as_posix() for path in paths if not any(p in _BUILT or p.startswith(".") for p in path.parts)]


def imports(source: Source, modules: frozenset[str]) -> Iterator[Import]:
    """Yield what a file imports, type-only imports too; `from a import b` is `a.b` where that is one of `modules`."""
    for node, is_nested in _nodes(source.tree, is_nested=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, is_nested)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(source, node)
            for alias in node.names:
                module = f"{origin}.{alias.name}"
                yield Import(module if module in modules else origin, node.lineno, is_nested)


def _origin(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = PurePosixPath(source.path).parts[: -node.level]
    return ".".join([*folder, *([node.module] if node.module else [])])


def _nodes(parent: ast.AST, *, is_nested: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(parent):
        yield node, is_nested
        yield from _nodes(node, is_nested=is_nested or isinstance(node, _SCOPES))


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method, nested ones too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def strings(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string that is not a docstring; what an f-string fills in reads as `x`."""
    seen: set[ast.AST] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            seen.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            seen.update(node.values)
            yield node.lineno, "".join(_text(part) for part in node.values)
        elif node not in seen and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _text(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "x"


def comments(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def modules(tree: Sequence[Source]) -> frozenset[str]:
    """Return the names of all modules in a tree."""
    return frozenset(source.module for source in tree)
