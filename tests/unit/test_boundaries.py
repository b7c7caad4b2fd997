"""The code uses no private names of its libraries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import etl

SOURCES = sorted(Path(etl.__file__).parent.rglob("*.py"))
LIBRARIES = ("httpcore", "httpx", "socksio", "ssl", "zlib")


def private_names(source: str) -> list[str]:
    """Return the private names of these libraries that a module uses."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in LIBRARIES:
                found += [attribute] if attribute.startswith("_") else []
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] in LIBRARIES:
                found += [part for part in module.split(".") if part.startswith("_")]
                found += [each.name for each in names if each.name.startswith("_")]
            case ast.Import(names=names):
                for each in names:
                    first, *others = each.name.split(".")
                    found += [part for part in others if first in LIBRARIES and part.startswith("_")]
            case ast.Constant(value=str(text)) if text.startswith(tuple(f"{name}._" for name in LIBRARIES)):
                found.append(text)
    return found


def inherited_private_names(source: str) -> list[str]:
    """Return the private attributes of a library class that a subclass uses without defining them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Attribute)
            and isinstance(base.value, ast.Name)
            and base.value.id in LIBRARIES
            for base in node.bases
        ):
            of_self = [
                each
                for each in ast.walk(node)
                if isinstance(each, ast.Attribute)
                and isinstance(each.value, ast.Name)
                and each.value.id == "self"
                and each.attr.startswith("_")
            ]
            made = {each.attr for each in of_self if isinstance(each.ctx, ast.Store)}
            made |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            found += [each.attr for each in of_self if each.attr not in made]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_private_library_names_are_used(path):
    source = path.read_text()
    assert private_names(source) == []
    assert inherited_private_names(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import httpcore\nhttpcore._sync.http11",
        "from httpcore._models import URL",
        "from httpx import _client",
        "import httpx._main",
        "sys.modules['httpx._main'] = None",
        "class A(httpx.HTTPTransport):\n def f(self):\n  self._pool.close()",
    ],
)
def test_private_library_names_are_detected(source):
    assert private_names(source) + inherited_private_names(source)
