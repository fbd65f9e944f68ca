"""Fingerprints hold on every Python; what they cannot compare is said, and never stale."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import snippets

import pytest_mipro
from pytest_mipro.files import fingerprint, source

# ---- the same on every Python


@pytest.fixture(scope="module")
def hashes(tmp_path_factory):
    return snippets.hashes(fingerprint, tmp_path_factory.mktemp("snippets"))


@pytest.mark.parametrize("name", snippets.SNIPPETS)
def test_unchanged_code_has_the_fingerprint_it_always_had(hashes, name):
    if name not in snippets.read_here():
        pytest.skip("this Python cannot read it")
    assert hashes[name] == snippets.HASHES[name]


def test_each_snippet_has_a_fingerprint_of_its_own():
    assert len(snippets.SNIPPETS) == len(snippets.HASHES) >= 40
    # Of the two lambdas in one line and the two classes, all is hashed or the right one is.
    assert len(set(snippets.HASHES.values())) == len(snippets.HASHES)


def test_annotations_are_spelled_by_rules_of_our_own():
    assert snippets.spellings(fingerprint) == snippets.SPELLINGS


@pytest.mark.parametrize("minor", range(10, 15))
def test_another_python_gives_the_same_fingerprints(minor):
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} on this machine")
    package = str(Path(pytest_mipro.__file__).parent)
    run = subprocess.run(
        [python, snippets.__file__, package, fingerprint.__name__],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    known = {name for name in snippets.SNIPPETS if snippets.SINCE.get(name, (3, 10)) <= (3, minor)}
    assert told["hashes"] == {
        name: snippets.HASHES[name] for name in snippets.HASHES if name in known
    }
    assert told["spellings"] == snippets.SPELLINGS


def interpreter(minor):
    """A Python 3 of this minor version that runs: a shim may name one that is not there."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        sys.executable if sys.version_info[1] == minor else None,
        shutil.which(f"python3.{minor}"),
        *map(str, sorted(root.glob(f"versions/3.{minor}.*/bin/python"))),
    ]
    return next((python for python in candidates if python and runs(python, minor)), None)


def runs(python, minor):
    code = "import sys; sys.exit(sys.version_info[:2] != (3, int(sys.argv[1])))"
    try:
        return subprocess.run([python, "-c", code, str(minor)], capture_output=True).returncode == 0
    except OSError:
        return False


# ---- what counts as a change

# Python cannot print the long number.
READABLE = {name: snippets.SNIPPETS[name] for name in snippets.read_here() if name != "long_number"}


@pytest.mark.parametrize("code", READABLE.values(), ids=READABLE)
def test_layout_is_no_change(code):
    printed = ast.unparse(ast.parse(code))
    assert source.shape(ast.parse(printed)) == source.shape(ast.parse(code))


@pytest.mark.parametrize("code", READABLE.values(), ids=READABLE)
def test_each_constant_operator_name_and_attribute_counts(code):
    before = source.shape(ast.parse(code))
    changed = 0
    nodes = [*ast.walk(ast.parse(code))]
    texts = [text for node in nodes for text in getattr(node, "values", ())]
    for position, node in enumerate(nodes):
        for change in changes_of(node, only_text=node in texts):
            tree = ast.parse(code)
            change([*ast.walk(tree)][position])
            assert source.shape(tree) != before, ast.dump(node)
            changed += 1
    assert changed


def changes_of(node, *, only_text):
    """Ways to change a node, as functions of it; a piece of an f-string can only be text."""

    def setting(field, value):
        return lambda node: setattr(node, field, value)

    if isinstance(node, ast.Constant):
        others = ("1",) if only_text else (None, 0, 1, 1.0, True, 1j, "1", b"1", ...)
        same = (type(node.value), node.value)
        yield from (setting("value", x) for x in others if (type(x), x) != same)
    for field in ("id", "attr", "arg", "name", "asname", "module", "rest"):
        if getattr(node, field, None) is not None:
            yield setting(field, "changed")
    if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.AugAssign)):
        other = {ast.Add: ast.Sub, ast.USub: ast.Not, ast.And: ast.Or}.get(type(node.op), ast.Add)
        yield setting("op", other())
    if isinstance(node, ast.Compare):
        yield from (
            lambda node, place=place: node.ops.__setitem__(place, ast.NotIn())
            for place, op in enumerate(node.ops)
            if not isinstance(op, ast.NotIn)
        )
    if isinstance(node, ast.FormattedValue):
        yield setting("conversion", 97)
        yield setting("value", ast.Constant(7))
    if isinstance(node, ast.comprehension):
        yield setting("is_async", 1 - node.is_async)


@pytest.mark.parametrize(
    "pair", ["1 1.0", "1 True", "1 '1'", "'1' b'1'", "1 1j", "0 False", "0 None", "'' None",
             "0.0 0", "'' f''", "None ...", "{} {**a}", "'a' f'a'", "() []", "{**a} {None:a}"],
)  # fmt: skip
def test_constants_are_told_apart_by_type(pair):
    one, other = (source.shape(ast.parse(text)) for text in pair.split())
    assert one != other


LOCALS = """
def metric(example, prediction, trace=None):
    import json as first
    hits = 0
    def add(x):
        nonlocal hits
        hits += x
    match prediction:
        case {"a": 1, **second}: return second
        case [third, *fourth]: return third, fourth
        case str() as fifth: return fifth
    for place, (left, right) in enumerate(zip(example, prediction)):
        add(left == right)
    try:
        return first.dumps(hits)
    except ValueError as sixth:
        return sixth, [seventh for seventh in example if (eighth := seventh)], eighth
"""


@pytest.mark.parametrize(
    "name",
    ["example", "hits", "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
     "eighth", "place", "left", "add"],
)  # fmt: skip
def test_a_local_renamed_is_no_change(made, name):
    renamed = re.sub(rf"\b{name}\b", "renamed", LOCALS)
    assert renamed != LOCALS
    assert fingerprint.metric(made(LOCALS)) == fingerprint.metric(made(renamed))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return second", "return third"),
        ("nonlocal hits", "global hits"),
        ("return first.dumps(hits)", "return first.dumps(place)"),
        ("(left, right)", "(right, left)"),
        ("**second", "**eighth"),
        ("def add(x)", "def add(renamed)"),  # a parameter can be given by name
    ],
)
def test_another_use_of_a_local_is_a_change(made, old, new):
    assert fingerprint.metric(made(LOCALS)) != fingerprint.metric(made(LOCALS.replace(old, new)))


def test_a_global_of_an_inner_function_is_not_the_local_of_that_name_around_it(made):
    code = """
    def metric(example, prediction, trace=None):
        count = 1
        def note():
            global count
            count = 2
        return count, note
    """
    renamed = code.replace("count = 1", "hits = 1").replace("return count", "return hits")
    assert fingerprint.metric(made(code)) == fingerprint.metric(made(renamed))


@pytest.fixture
def made(tmp_path):
    """Make what is called ``metric`` in a module of this code."""
    count = 0

    def make(code):
        nonlocal count
        count += 1
        path = tmp_path / f"made_{count}.py"
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        known = {"__name__": path.stem}
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), known)
        return known["metric"]

    return make


CALLED = """
def call(*given, metric, **more):
    return metric

metric = call(
    [1, 2],
    metric=lambda e, p, t=None: e == p,
    more=[3],
)
"""


def test_of_a_lambda_only_the_lambda_counts(made):
    before = fingerprint.metric(made(CALLED))
    assert fingerprint.metric(made(CALLED.replace("[3]", "[4]"))) == before
    assert fingerprint.metric(made(CALLED.replace("e == p", "e != p"))) != before


PARTIAL = """
import functools

def score(example, prediction, trace=None, *, weight=1, words=()):
    return weight * (example == prediction)

metric = functools.partial(score, weight=2, words={"a", "b"})
"""


def test_a_partial_is_known_by_what_it_calls_and_with_what(made):
    before = fingerprint.metric(made(PARTIAL))
    assert fingerprint.metric(made(PARTIAL.replace('"a", "b"', '"b", "a"'))) == before
    for old, new in (("weight=2", "weight=3"), ("==", "!="), ('"a", ', "")):
        assert fingerprint.metric(made(PARTIAL.replace(old, new))) != before


@dataclasses.dataclass
class Near:
    limit: object

    def __call__(self, example, prediction, trace=None):
        return example == prediction


def test_an_argument_of_a_metric_counts_but_not_where_it_lies_in_memory():
    one, other, third = (Near(limit) for limit in (object(), object(), 3))
    assert fingerprint.metric(one) == fingerprint.metric(other) != fingerprint.metric(third)
    assert fingerprint.metric(Near(functools.partial(Near, 1))) != fingerprint.metric(
        Near(functools.partial(Near, 2))
    )


# ---- what is compared


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ("2:0123456789abcdef", "2:0123456789abcdef", False),
        ("2:0123456789abcdef", "2:fedcba9876543210", True),
        ("0123456789abcdef", "fedcba9876543210", True),
        ("0123456789abcdef", "2:0123456789abcdef", False),
        ("3:0123456789abcdef", "2:fedcba9876543210", False),
        (None, "2:0123456789abcdef", False),
        ("2:0123456789abcdef", None, False),
        ("x: str -> y: str", "x: str -> y: int", True),
        ("x: str (2: a number) -> y: str", "x: str (3: a number) -> y: str", True),
    ],
)
def test_only_fingerprints_of_one_scheme_can_differ(then, now, expected):
    assert fingerprint.differs(then, now) is expected


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("x: Optional[str] -> y: int", "x: str | None -> y: int"),
        ("x: Optional[str] -> y: int", "x: None | str -> y: int"),
        ("x: None | str (a text), z: int -> y: None | int",
         "x: Optional[str] (a text), z: int -> y: Optional[int]"),
        ("x: Union[int, str] -> y: Union[int, str, NoneType]",
         "x: int | str -> y: int | str | None"),
        ("x: List[Optional[Dict[str, Union[int, List[str]]]]] -> y: int",
         "x: List[Dict[str, int | List[str]] | None] -> y: int"),
        ("x: Dict[str, NoneType] -> y: int", "x: Dict[str, None] -> y: int"),
        (r"x: Literal['\U0001fae8', '\xa0'] -> y: int",
         "x: Literal['\U0001fae8', '\xa0'] -> y: int"),
        ("x: Annotated[str, f at 0x7f00] -> y: int", "x: Annotated[str, f at 0x7fff] -> y: int"),
        ("x: str (an Optional[ that never ends) -> y: int",
         "x: str (an Optional[ that never ends) -> y: int"),
    ],
)  # fmt: skip
def test_what_other_pythons_print_of_a_type_is_no_difference(then, now):
    assert not fingerprint.differs(then, now)
    assert not fingerprint.differs(now, then)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("x: Optional[str] -> y: int", "x: str -> y: int"),
        ("x: Optional[str] -> y: int", "x: int | None -> y: int"),
        ("x: Union[int, str] -> y: int", "x: str | int -> y: int"),
        ("x: List[Optional[str]] -> y: int", "x: Optional[List[str]] -> y: int"),
        ("x: None | str, z: int -> y: int", "x: str, z: int | None -> y: int"),
    ],
)
def test_another_type_is_a_difference(then, now):
    assert fingerprint.differs(then, now)


# ---- files of another scheme, as a user meets them

TEST = """
import pytest
from scripted import *

@pytest.mark.mipro(threshold=0.3)
def test_sorter(mipro):
    mipro(Sorter(), metric=exact, trainset=examples(20), valset=examples(20, 100),
          testset=examples(40, 200))
"""
NOTE = (
    "*fingerprints of an older pytest-mipro are not compared (program, metric); "
    "--mipro-update-baseline renews them*"
)


@pytest.fixture
def older(project):
    """A project whose committed files have fingerprints of scheme 1, of code that was another."""
    pytester = project(TEST, script="answer_right")
    pytester.runpytest("--mipro-optimize", "--mipro-budget=20calls").assert_outcomes(passed=1)
    for path in (pytester.path / "prompts").iterdir():
        text = path.read_text(encoding="utf-8")
        aged = re.sub(r'((?:program|metric)"?: "?)2:[0-9a-f]{16}', r"\g<1>0123456789abcdef", text)
        path.write_text(aged, encoding="utf-8")
    return pytester


def fingerprints(pytester):
    return re.findall(
        r'(?:program|metric)"?: "?((?:\d+:)?[0-9a-f]{16})\b',
        "".join(path.read_text(encoding="utf-8") for path in (pytester.path / "prompts").iterdir()),
    )


def test_an_older_file_is_not_stale_and_a_note_says_what_is_not_compared(older):
    assert fingerprints(older) == ["0123456789abcdef"] * 3
    result = older.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([NOTE])
    result.stdout.no_fnmatch_line("*sorter: STALE*")


def test_scores_beside_an_older_fingerprint_are_still_compared(older):
    conftest = (older.path / "conftest.py").read_text()
    older.makeconftest(conftest.replace("answer_right", "lambda asked: {'label': 'good'}"))
    result = older.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*REGRESSED*below the recorded 1.000*"])
    result.stdout.no_fnmatch_line("*another metric*")


def test_update_baseline_renews_older_fingerprints(older):
    older.runpytest("--mipro-update-baseline").assert_outcomes(passed=1)
    assert_renewed(older)


def test_optimising_renews_older_fingerprints_even_where_the_committed_prompts_stay(older):
    result = older.runpytest("--mipro-optimize", "--mipro-seed=5", "--mipro-budget=20calls")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sorter: the committed prompts stay: *"])
    assert_renewed(older)


def assert_renewed(pytester):
    assert len(renewed := fingerprints(pytester)) == 3
    assert all(text.startswith(f"{fingerprint.CODE_SCHEME}:") for text in renewed)
    pytester.runpytest().stdout.no_fnmatch_line("*are not compared*")


def test_the_examples_of_an_older_file_are_still_compared(older):
    test = (older.path / "test_it.py").read_text()
    older.makepyfile(test_it=test.replace("trainset=examples(20)", "trainset=examples(21)"))
    result = older.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the examples of the trainset changed*"])
