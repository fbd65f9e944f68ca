"""Code and annotations whose fingerprints are the same on every Python, and what they are.

Run as a script it prints what the running Python makes of them; it needs only the standard
library. A hash that changes here makes committed fingerprints worthless: then raise the number of
the scheme.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path

# Each defines ``thing``: a function, a lambda, a class, or a metric that is an object.
SNIPPETS = {
    "quotes_in_f_string": """def thing(e, p): return f"{e['team']}: {p['x']!r}" """,
    "f_string_escapes": r"""def thing(e, p): return f'it\'s {e}\n{{}}\N{DIGIT ONE}{p}'""",
    "f_string_specs": """def thing(e, w):
    return f"{e:>{w}}" + f"{e!s:{w}.{w}}" + f"{e:%d-{w}a}" """,
    "f_string_empty_spec": """def thing(e, p): return f"{e:}" + f"{e!r:}" """,
    "f_string_equals": """def thing(e, p): return f"{e=} {p = !s:>9} and {e.a['b']=}" """,
    "f_string_in_spec": """def thing(e, p): return f"{e:{p!r}}" """,
    "f_strings_joined": """def thing(e, p): return 'a' f'b{e}' 'c' rf'\\d{p}' f'' 'd' """,
    "f_string_of_text": """def thing(e, p): return f"only text" f'' + f"" """,
    "f_string_lines": '''def thing(e, p): return f"""{
        e
    } and { p }
    end"""''',
    "f_string_lambda": """def thing(e, p): return f"{(lambda x: x)(e)} {[*e, p]} {(e, p)}" """,
    "strings_joined": """def thing(e, p): return ('a' "b" 'c', b'x' b'y', u'z', r'\\d')""",
    "tuple_in_for": """def thing(e, p):
    for n, (a, b) in enumerate(zip(e, p)):
        yield n, a, b
    return [x for x, (y, z) in e if y for w in z]""",
    "tuple_target": """def thing(e, p):
    (a, b), *c = e
    a, b = b, a
    for x in *a, b: pass
    return (a, *c), [a, *b], {*c}""",
    "numbers": "def thing(e, p): return 1, 1.0, True, 1j, 0x10, 1_000, 1e999, 10**30, -1, .5",
    "long_number": "def thing(e, p): return 0x" + "f" * 5000,
    "constants": """def thing(e, p):
    return None, ..., False, '1', b'1', '', '\\ud800', 'ü\U0001fae8'""",
    "operators": """def thing(e, p):
    return e + p - e * p / e // p % e ** p @ e << p >> e & p ^ e | ~p, not e, -e, +p""",
    "comparisons": """def thing(e, p):
    return e < p <= e == p != e > p >= e is p is not e in p not in e""",
    "slices": "def thing(e, p): return e[1:2, ::3], e[1,], e[:], e[p:][-1], e[(1, 2)]",
    "calls": "def thing(e, p): return print(*e, 1, sep='', **p, **{'a': 1}, end='')",
    "dicts": "def thing(e, p): return {**e, 'a': 1, 'b': None, **p}, {k: v for k, v in e.items()}",
    "conditional": "def thing(e, p): return (e if p else not e) and (e or p)",
    "walrus": """def thing(e, p):
    if (n := len(e)) > 1 and any((last := x) for x in p):
        return n, last""",
    "starred_return": "def thing(e, p): return *e, p",
    "with_parentheses": """def thing(e, p):
    with (open(e) as a, open(p) as (b, c)):
        return a, b
    with open(e), open(p) as d:
        return d""",
    "try_finally": """def thing(e, p):
    try:
        return e / p
    except (TypeError, ValueError) as error:
        raise RuntimeError(str(error)) from error
    except ZeroDivisionError:
        return 0.0
    else:
        p = 1
    finally:
        del e, (p)""",
    "match": """def thing(e, p):
    match e:
        case {'a': 1, 'b': x, **rest}: return x, rest
        case [1, 2, *others] if others: return others
        case str() | bytes(): return None
        case Point(1, y=-2 | 3+4j as found): return found
        case None | True | False: return 1
        case (a, b): return a
        case p.attribute: return 2
        case _: return p""",
    "nested_functions": """def thing(e, p):
    total = 0
    def add(x, *, by=1):
        nonlocal total
        total += x * by
        return lambda y: y + total
    class Local:
        total = 2
        def get(self): return self.total
    return add(e)(p), Local""",
    "globals": """def thing(e, p):
    global count
    count = e
    import json as j, re
    from os import path as q
    return j, re, q""",
    "decorated": """import functools
@functools.lru_cache(
    maxsize=None
)
def thing(e, p):
    '''Cached.'''
    return e""",
    "wrapped": """import functools
def around(f):
    @functools.wraps(f)
    def wrapper(*a, **k): return f(*a, **k)
    return wrapper
@around
def thing(e, p): return e is p""",
    "all_parameters": """def thing(e, p: int = 1, /, t=None, *a: str, k, m=2, **z) -> 'x':
    return a""",
    "annotations": """def thing(e, p):
    n: int = 1
    e.x: 'list[int]'
    (m): str = 'a'
    return n""",
    "asynchronous": """async def thing(e, p):
    async with e as a, p:
        async for x in a:
            await x
    return [i async for i in e if await i], (j async for j in p)""",
    "generator": """def thing(e, p):
    x = yield e
    yield from p
    return (yield)""",
    "loops": """def thing(e, p):
    while e:
        if p: continue
        elif e > 2: break
        else: pass
    else: assert e, f'{e}'
    for e.x in p: ...
    else: p[0] += 1""",
    "only_docstring": '''def thing(e, p):
    """Nothing."""''',
    "docstring_and_text": '''def thing(e, p):
    """What it is."""
    x = """
  less indented
    """
    return x''',
    "lambda_in_call": """def use(*a, metric, **k): return metric
thing = use(
    1,
    metric=lambda e, p, t=None: e == p,
    data=[3],
)""",
    "lambda_of_lines": """thing = (
    lambda e, p:
        e +
        p
)""",
    "lambdas_on_a_line": "thing, other = lambda a, b: a, lambda c, *d: d",
    "lambdas_alike": "thing, other = lambda a, b: a, lambda a, b: b",
    "method": """class Metrics:
    @staticmethod
    def score(e, p): return e == p
thing = Metrics().score""",
    "class_twice": """class thing:
    def __call__(self, e, p): return 1
class thing:
    @property
    def x(self): return 1
    def __call__(self, e, p): return 2""",
    "class_in_branch": """if 1:
    class thing:
        a = 1
else:
    class thing:
        a = 2""",
    "class_of_all": '''import dataclasses
@dataclasses.dataclass(frozen=True)
class thing(dict, metaclass=type):
    """Everything."""
    a: int
    b: str = f"{1}"
    class Inner:
        """Inside."""
        def get(self): return [x for x in self.a]
    @property
    def size(self): return self.a
    @classmethod
    async def make(cls, *args): return cls(*args)''',
    "local_class": """def make():
    class Local:
        def forward(self, x): return x
    return Local
thing = make()""",
    "no_source": "thing = len",
    "made_class": "thing = type('Made', (), {})",
    "partial": """import functools
def score(weight, e, p, t=None): return weight * (e == p)
thing = functools.partial(score, 0.5, t={'b', 'a'})""",
    "dataclass_metric": """import dataclasses, enum, re
class Way(enum.Flag):
    A = 1
    B = 2
class Kind(str, enum.Enum):
    X = 'x'
def near(a, b): return a == b
@dataclasses.dataclass
class Score:
    names: tuple
    way: Way
    kind: Kind
    words: frozenset
    how: object
    inner: object = None
    hidden: int = dataclasses.field(default=1, repr=False)
    def __call__(self, e, p, t=None): return self.how(e, p)
thing = Score(('a', 1, 'ü\\U0001fae8'), Way.A | Way.B, Kind.X, frozenset(['b', 'a', 'c']), near,
              {'x': re.I | re.M, 'y': Score})""",
    "dataclass_says_itself": """import dataclasses
@dataclasses.dataclass
class Score:
    client: object
    def __repr__(self): return 'Score of its own'
    def __call__(self, e, p, t=None): return 1
thing = Score(object())""",
    "except_star": """def thing(e, p):
    try: pass
    except* ValueError as g: e = g""",
    "star_in_index": "def thing(e, p): return e[*p], e[1:2, *p]",
    "same_quotes": """def thing(e, p): return f'{e['team']}' f"{"\\n".join(p)}" """,
    "f_string_nested": """def thing(e, p): return f'{e:{p:{e}}}'""",
    "type_parameters": """type Pair[A] = tuple[A, A]
def thing[T: int, *Ts, **P](e: T, p: Pair[T]) -> T: return e""",
    "type_defaults": "def thing[T = int](e: T, p): return e",
    "except_bare_tuple": """def thing(e, p):
    try: pass
    except TypeError, ValueError: return e""",
    "template": """def thing(e, p): return t"a{e}b{p!r:>3}" """,
}

# The first Python that can read a snippet, where that is not 3.10.
SINCE = {
    "except_star": (3, 11),
    "star_in_index": (3, 11),
    "same_quotes": (3, 12),
    "f_string_nested": (3, 12),
    "type_parameters": (3, 12),
    "type_defaults": (3, 13),
    "except_bare_tuple": (3, 14),
    "template": (3, 14),
}

HASHES = {
    "quotes_in_f_string": "2:a81d91134c357496",
    "f_string_escapes": "2:6299a9fe2adcfcb3",
    "f_string_specs": "2:0c6a2546dbf9104d",
    "f_string_empty_spec": "2:b9b90723cb6d0023",
    "f_string_equals": "2:c30258b824818ffa",
    "f_string_in_spec": "2:fefb0f9f6f22061c",
    "f_strings_joined": "2:45ee62d515813869",
    "f_string_of_text": "2:3cfbba5835d0c564",
    "f_string_lines": "2:7558fd861f37fc93",
    "f_string_lambda": "2:6559679f665c0077",
    "strings_joined": "2:352f73662d46f12c",
    "tuple_in_for": "2:32132bb9f72f8f37",
    "tuple_target": "2:f007793a0e6118c5",
    "numbers": "2:ca0684ccfb1b055e",
    "long_number": "2:bce43ea5c87928ff",
    "constants": "2:5b20d37218f8635c",
    "operators": "2:6da3eb5f37b4f2af",
    "comparisons": "2:d4f07cc0d40f55db",
    "slices": "2:8a850372b2d0d9a6",
    "calls": "2:5aeaed151543b2ac",
    "dicts": "2:a457a50db1bb3a06",
    "conditional": "2:4d09941f191618d5",
    "walrus": "2:9e5e9105fc84d65e",
    "starred_return": "2:1fcb9478f6e733e6",
    "with_parentheses": "2:fec9bace45627292",
    "try_finally": "2:c97e3fd157154caf",
    "match": "2:2290cc758c075997",
    "nested_functions": "2:b60cade0b1efb8bb",
    "globals": "2:e8ae2939ae7e63c2",
    "decorated": "2:140b09df1c58a04c",
    "wrapped": "2:399770524c6dc28e",
    "all_parameters": "2:9182a921933893b7",
    "annotations": "2:9d3c80ce2bd266e9",
    "asynchronous": "2:a252041bb4c9abf6",
    "generator": "2:e06c6e94e40b4e31",
    "loops": "2:fc07e68cf80b5bc7",
    "only_docstring": "2:d9d6f39f17670dfe",
    "docstring_and_text": "2:14300f91256c19ab",
    "lambda_in_call": "2:7b1bbfaea6505d2c",
    "lambda_of_lines": "2:7857baf1e7aba766",
    "lambdas_on_a_line": "2:0cd32c0a236c0278",
    "lambdas_alike": "2:301c4b97b3dc2d3c",
    "method": "2:972d6cd4d5aa07bb",
    "class_twice": "2:a84f2255dc6cc2fa",
    "class_in_branch": "2:201ab6a4ebf18123",
    "class_of_all": "2:aa6ec103e643c95d",
    "local_class": "2:47a702fb8eeb3c48",
    "no_source": "2:e1780306b1663d8d",
    "made_class": "2:a59f8e7d3936d782",
    "partial": "2:525278e4cb952a73",
    "dataclass_metric": "2:32da5b7392ab20fc",
    "dataclass_says_itself": "2:53176c50b5106d24",
    "except_star": "2:78b545e2554d3bc6",
    "star_in_index": "2:aeb5751b33cbb632",
    "same_quotes": "2:9f27ccdc8620288d",
    "f_string_nested": "2:fb8988140f3ca778",
    "type_parameters": "2:c6f555656763302d",
    "type_defaults": "2:a244f817b421dcab",
    "except_bare_tuple": "2:f469c58b220c4f9a",
    "template": "2:520a4b4bc1956315",
}

# Annotations, with typing as t and enum.Enum ``Color``, NewType ``Id``, TypedDict ``Row`` and
# generic ``Box`` of this module, and how they stand in a signature's text.
SPELLINGS = {
    "str": "str",
    "t.Any": "Any",
    "None": "None",
    "t.Optional[str]": "str | None",
    "t.Union[int, str]": "int | str",
    "t.Union[None, int]": "None | int",
    "t.Union[int, str, None]": "int | str | None",
    "int | None": "int | None",
    "t.List[t.Optional[str]]": "List[str | None]",
    "list[str | None] | None": "list[str | None] | None",
    "t.Dict[str, None]": "Dict[str, None]",
    "dict[str, None]": "dict[str, None]",
    "t.List": "List",
    "list": "list",
    "t.List[str]": "List[str]",
    "list[t.Any]": "list[Any]",
    "t.Tuple[()]": "Tuple[()]",
    "tuple[()]": "tuple[()]",
    "tuple[int, ...]": "tuple[int, ...]",
    "t.Callable[[int, str], t.Optional[int]]": "Callable[[int, str], int | None]",
    "t.Callable[..., int]": "Callable[..., int]",
    "t.Sequence[int]": "Sequence[int]",
    "t.Literal['good', 'bad']": "Literal[good, bad]",
    "t.Literal['a b', \"it's\", '1', 1, True, None]": "Literal[a b, \"it's\", '1', 1, True, None]",
    "t.Literal['ü', '\\U0001fae8', '\\xa0', 'a\\n']": "Literal['ü', '\U0001fae8', '\xa0', 'a\\n']",
    "t.Literal[Color.RED]": "Literal[<Color.RED: 1>]",
    "t.Optional[t.Literal['a', 'b']]": "Literal[a, b] | None",
    "t.Annotated[t.Optional[int], 'x', Color.RED]": "Annotated[int | None, x, <Color.RED: 1>]",
    "t.List['Later']": "List[ForwardRef(Later)]",
    "t.Optional['Later']": "ForwardRef(Later) | None",
    "list['Later']": "list[Later]",
    "Color": "Color[RED, BLUE]",
    "list[Color]": "list[snippets.Color]",
    "Id": "snippets.Id",
    "t.List[Id]": "List[snippets.Id]",
    "Row": "Row",
    "list[Row]": "list[snippets.Row]",
    "Box[int]": "snippets.Box[int]",
    "list[Box[t.Optional[int]]]": "list[snippets.Box[int | None]]",
    "t.Type[int]": "Type[int]",
    "T": "~T",
}


class _Program:
    """What a fingerprint asks of a program."""

    def __init__(self, kind):
        self._kind = kind

    def named_predictors(self):
        return []

    def named_sub_modules(self):
        return [("", self._kind.__new__(self._kind))]


def read_here():
    """The snippets that this Python can read."""
    return [name for name in SNIPPETS if sys.version_info >= SINCE.get(name, (3, 10))]


def hashes(fingerprint, folder):
    """Fingerprint of each snippet that this Python can read."""
    found = {}
    for name in read_here():
        path = Path(folder) / f"snippet_{name}.py"
        path.write_text(SNIPPETS[name] + "\n", encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        thing = module.thing
        is_class = isinstance(thing, type)
        found[name] = (
            fingerprint.program(_Program(thing)) if is_class else fingerprint.metric(thing)
        )
    return found


def spellings(fingerprint):
    """How each annotation stands in a signature's text."""
    import enum
    import typing as t

    class Color(enum.Enum):
        RED = 1
        BLUE = "b"

    class Row(t.TypedDict):
        a: int

    T = t.TypeVar("T")

    class Box(t.Generic[T]):
        pass

    known = {"t": t, "Color": Color, "Row": Row, "T": T, "Box": Box, "Id": t.NewType("Id", int)}
    for name, kind in known.items():
        if name not in ("t", "T"):
            kind.__module__, kind.__qualname__ = "snippets", name
    return {
        text: fingerprint.signature(_signature(eval(text, known))).removeprefix("x: ")[
            : -len(" -> ")
        ]
        for text in SPELLINGS
    }


def _signature(annotation):
    field = types.SimpleNamespace(annotation=annotation, json_schema_extra=None)
    return types.SimpleNamespace(input_fields={"x": field}, output_fields={})


def main(package, fingerprint):
    """Print what this Python makes of it.

    Args:
        package: folder of pytest_mipro, which is not imported itself, as it needs dspy.
        fingerprint: name of the module.
    """
    top = types.ModuleType("pytest_mipro")
    top.__path__ = [package]
    sys.modules["pytest_mipro"] = top
    module = importlib.import_module(fingerprint)
    with tempfile.TemporaryDirectory() as folder:
        told = {"hashes": hashes(module, folder), "spellings": spellings(module)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
