"""The code of a program or metric, without what does not change what it does.

Comments, docstrings and layout are dropped, and local variables are given numbers for names, so
that renaming one is no change. Names that others can see (attributes, parameters, globals) stay.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def readable(thing: Any) -> str:
    """The code of a class or function without comments, docstrings and layout.

    Falls back to the qualified name where there is no source, as for a built-in.
    """
    tree = _parsed(thing)
    return qualified_name(thing) if tree is None else ast.unparse(tree)


def normalized(thing: Any, *, called_by_position: bool = False) -> str:
    """The same with numbered local variables.

    Args:
        thing: a class or function.
        called_by_position: whether the names of its own parameters do not matter either, as
            for a metric, which DSPy calls by position.
    """
    tree = _parsed(thing)
    if tree is None:
        return qualified_name(thing)
    own = tree.body[0] if called_by_position and len(tree.body) == 1 else None
    return ast.unparse(_Renaming(own).visit(tree))


def qualified_name(thing: Any) -> str:
    """Return ``module:name`` of a class, a function, or the class of anything else."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def _parsed(thing: Any) -> ast.Module | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, (*_Function, ast.ClassDef)):
            _drop_docstring(node)
    return tree


def _drop_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = node.body[1:] or [ast.Pass()]


class _Renaming(ast.NodeTransformer):
    """Gives local variables numbers, in the order in which they are first bound.

    Args:
        own: the function whose parameters are renamed too.
    """

    def __init__(self, own: ast.AST | None) -> None:
        self._own = own
        self._scopes: list[dict[str, str]] = []
        self._count = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        node.args = self.visit(node.args)
        self._open([arg.arg for arg in _parameters(node.args)])
        node.args = self._arguments(node.args)
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def visit_Name(self, node: ast.Name) -> Any:
        node.id = self._name(node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> Any:
        if node.name:
            node.name = self._name(node.name)
        return self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> Any:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> Any:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> Any:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Any:
        return self._comprehension(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        node.decorator_list = [self.visit(item) for item in node.decorator_list]
        node.args = self.visit(node.args)  # defaults are evaluated outside
        if self._scopes:
            node.name = self._name(node.name)
        parameters = [arg.arg for arg in _parameters(node.args)]
        outside = set(_declared_outside(node))
        bound = [n for n in _bound_in(node) if n not in parameters and n not in outside]
        self._open([*parameters, *bound] if node is self._own else bound, hidden=parameters)
        if node is self._own:
            node.args = self._arguments(node.args)
        node.body = [self.visit(item) for item in node.body]
        self._scopes.pop()
        return node

    def _comprehension(self, node: Any) -> Any:
        first = node.generators[0]
        first.iter = self.visit(first.iter)  # evaluated outside
        self._open([name for part in node.generators for name in _targets(part.target)])
        for position, part in enumerate(node.generators):
            part.target = self.visit(part.target)
            if position:
                part.iter = self.visit(part.iter)
            part.ifs = [self.visit(item) for item in part.ifs]
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                setattr(node, name, self.visit(getattr(node, name)))
        self._scopes.pop()
        return node

    def _open(self, names: list[str], hidden: Any = ()) -> None:
        """Begin a scope; names that are ``hidden`` in it keep their own name."""
        scope = {name: name for name in hidden}
        for name in dict.fromkeys(names):
            scope[name] = f"_{self._count}"
            self._count += 1
        self._scopes.append(scope)

    def _name(self, name: str) -> str:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), name)

    def _arguments(self, arguments: ast.arguments) -> ast.arguments:
        for arg in _parameters(arguments):
            arg.arg = self._name(arg.arg)
        return arguments


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    starred = [arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _bound_in(function: ast.AST) -> Iterator[str]:
    """Names that a function binds itself, in order; not those of functions and classes in it."""
    for node in _within(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.ExceptHandler, *_Function)) and node.name:
            yield node.name


def _declared_outside(function: ast.AST) -> Iterator[str]:
    for node in _within(function):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's own scope, in the order of the text."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, _COMPREHENSIONS):
            yield from _walruses(child)
        elif not isinstance(child, (*_Function, ast.ClassDef, ast.Lambda)):
            yield from _within(child)


def _walruses(node: ast.AST) -> Iterator[ast.AST]:
    """A walrus in a comprehension binds in the function around it."""
    return (
        inner.target
        for inner in ast.walk(node)
        if isinstance(inner, ast.NamedExpr) and isinstance(inner.target, ast.Name)
    )


def _targets(target: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
