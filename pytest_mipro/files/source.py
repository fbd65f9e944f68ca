"""The code of a program or metric, without what does not change what it does.

Comments, docstrings and layout are dropped, and local variables are given numbers for names, so
that renaming one is no change. Names that others can see (attributes, parameters, globals) stay.

What is compared is the shape of the syntax tree, not code printed from it: Pythons print the same
tree differently (quotes in f-strings, tuples in a ``for``). For the same reason a definition is
looked up in its file's tree, not with ``inspect.getsource``, which finds other lines of a class or
a lambda on other Pythons. This module needs the standard library only, so that any Python can run
it.
"""

from __future__ import annotations

import ast
import copy
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from types import CodeType
from typing import Any

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MATCHES = (ast.MatchAs, ast.MatchStar)

# Where a node stands or is used, and how a string was quoted: not what it does.
_UNCOMPARED = {"ctx", "kind", "type_comment", "type_ignores"}


def readable(thing: Any) -> str:
    """The code of a class or function without comments, docstrings and layout.

    For people, and only for them: Pythons print it differently.

    Falls back to the qualified name where there is no source, as for a built-in.
    """
    nodes = _definitions(thing)
    return "\n".join(map(ast.unparse, nodes)) or qualified_name(thing)


def normalized(thing: Any, *, called_by_position: bool = False) -> str:
    """The shape of its syntax tree, with numbered local variables; the same on every Python.

    Args:
        thing: a class or function.
        called_by_position: whether the names of its own parameters do not matter either, as
            for a metric, which DSPy calls by position.

    Returns:
        A text that is equal for code that does the same but for names, layout and comments; the
        qualified name where there is no source.
    """
    nodes = _definitions(thing)
    own = nodes[0] if called_by_position and len(nodes) == 1 else None
    return "\n".join(shape(_Renaming(own).visit(node)) for node in nodes) or qualified_name(thing)


def has_source(thing: Any) -> bool:
    """Whether the code of a class or function is at hand, as that of generated ones is not."""
    return bool(_definitions(thing))


def shape(node: Any) -> str:
    """A syntax tree as text: node types and the fields that say something.

    Fields that are None, empty or 0 are left out, so that fields which a newer Python adds change
    nothing where they are not used. In a list None keeps its place: ``{**a}`` has a None key.

    Args:
        node: a node of ``ast``, a list of them, or a value in one.
    """
    if isinstance(node, (ast.Constant, ast.MatchSingleton)):
        return f"{type(node).__name__}({_constant(node.value)})"
    if isinstance(node, ast.AST):
        values = ((name, _joined(getattr(node, name, None), node)) for name in node._fields)
        told = [
            f"{name}={shape(value)}"
            for name, value in values
            if name not in _UNCOMPARED and value not in (None, [], 0)
        ]
        return f"{type(node).__name__}({', '.join(told)})"
    if isinstance(node, list):
        return f"[{', '.join(map(shape, node))}]"
    return _constant(node)


def qualified_name(thing: Any) -> str:
    """Return ``module:name`` of a class, a function, or the class of anything else."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def _constant(value: Any) -> str:
    """A value as text that tells its type; which characters are printable depends on Python."""
    return hex(value) if type(value) is int else ascii(value)  # repr refuses very long numbers


def _joined(value: Any, node: ast.AST) -> Any:
    """Pieces of text in an f-string, merged: how many there are depends on Python."""
    if not (isinstance(value, list) and type(node).__name__ in ("JoinedStr", "TemplateStr")):
        return value
    pieces: list[Any] = []
    for is_text, group in groupby(value, lambda piece: isinstance(piece, ast.Constant)):
        some: list[Any] = list(group)
        text = "".join(piece.value for piece in some) if is_text else ""
        pieces += [ast.Constant(text)] if text else [] if is_text else some
    return pieces


def _definitions(thing: Any) -> list[Any]:
    """The nodes that define a class or function, without docstrings; none without a source.

    There are several where the file does not tell which it is: lambdas on one line with the same
    parameters, or a class without methods that is defined twice.
    """
    try:
        thing = inspect.unwrap(thing)
        thing = getattr(thing, "__func__", thing)
        if inspect.isclass(thing):
            found = _of_class(thing)
        else:
            code = thing.__code__
            found = _of_code(_tree(_file_text(code)), code)
    except (OSError, TypeError, ValueError, AttributeError, SyntaxError):
        return []
    found = copy.deepcopy(found)
    for node in found:
        for inner in ast.walk(node):
            if isinstance(inner, (*_Function, ast.ClassDef)):
                _drop_docstring(inner)
    return found


def _of_code(tree: ast.AST, code: CodeType) -> list[Any]:
    """The nodes of a function's or lambda's code, which begins at its first decorator."""
    if code.co_name != "<lambda>":
        return [
            node
            for node in ast.walk(tree)
            if isinstance(node, _Function)
            and node.name == code.co_name
            and _first_line(node) == code.co_firstlineno
        ]
    here = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    flags = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + flags]
    return [node for node in here if names == tuple(a.arg for a in _parameters(node.args))] or here


def _of_class(kind: type) -> list[Any]:
    codes = [
        function.__code__
        for value in vars(kind).values()
        if hasattr(function := inspect.unwrap(getattr(value, "__func__", value)), "__code__")
    ]
    tree = _tree(_class_text(kind, codes))
    found = [node for name, node in _classes(tree) if name == kind.__qualname__]
    lines = {code.co_firstlineno for code in codes}
    holding = [n for n in found if any(_first_line(item) in lines for item in ast.walk(n))]
    return holding if len(found) > 1 and holding else found


def _class_text(kind: type, codes: Sequence[CodeType]) -> str:
    """The text of the file that a class is in: its module's, else that of one of its methods."""
    for holder in (sys.modules.get(kind.__module__), *codes):
        try:
            if holder is not None:
                return _file_text(holder)
        except (OSError, TypeError):
            continue
    raise OSError(f"no source of {kind.__qualname__}")


def _file_text(holder: Any) -> str:
    return "".join(inspect.findsource(holder)[0])


@lru_cache(maxsize=16)
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def _classes(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    """Each class with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield f"{inside}{child.name}", child
            yield from _classes(child, f"{inside}{child.name}.")
        elif isinstance(child, _Function):
            yield from _classes(child, f"{inside}{child.name}.<locals>.")
        else:
            yield from _classes(child, inside)


def _first_line(node: Any) -> int | None:
    decorators = getattr(node, "decorator_list", None)
    line: int | None = getattr(decorators[0] if decorators else node, "lineno", None)
    return line if isinstance(node, _Function) else None


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

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        if self._scopes:
            node.name = self._name(node.name)
        for name in ("decorator_list", "bases", "keywords"):  # evaluated outside
            setattr(node, name, [self.visit(item) for item in getattr(node, name)])
        self._open([], hidden=list(_bound_in(node)))  # they are attributes
        node.body = [self.visit(item) for item in node.body]
        self._scopes.pop()
        return node

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
        return self._named(node, "name")

    def visit_MatchAs(self, node: ast.MatchAs) -> Any:
        return self._named(node, "name")

    def visit_MatchStar(self, node: ast.MatchStar) -> Any:
        return self._named(node, "name")

    def visit_MatchMapping(self, node: ast.MatchMapping) -> Any:
        return self._named(node, "rest")

    def visit_alias(self, node: ast.alias) -> Any:
        return self._named(node, "asname")

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Any:
        node.names = [self._name(name) for name in node.names]
        return node

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
        everyones = set(_declared(node, ast.Global))
        outside = {*everyones, *_declared(node, ast.Nonlocal)}
        bound = [n for n in _bound_in(node) if n not in parameters and n not in outside]
        hidden = [*parameters, *everyones]
        self._open([*parameters, *bound] if node is self._own else bound, hidden=hidden)
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
            scope[name] = f"%{self._count}"  # nobody else's name looks like that
            self._count += 1
        self._scopes.append(scope)

    def _name(self, name: str) -> str:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), name)

    def _named(self, node: Any, field: str) -> Any:
        """A node that binds a name without a node of its own for it."""
        name = getattr(node, field)
        if name:
            setattr(node, field, self._name(name))
        return self.generic_visit(node)

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
        elif isinstance(node, (ast.ExceptHandler, *_MATCHES, *_Function)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def _declared(function: ast.AST, kind: type[ast.Global] | type[ast.Nonlocal]) -> Iterator[str]:
    """The names that a function declares to be bound outside of it."""
    for node in _within(function):
        if isinstance(node, kind):
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
