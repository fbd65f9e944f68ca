"""What the project says of itself in several places is the same everywhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]


def floors(requirements):
    named = map(Requirement, requirements)
    return {r.name: s.version for r in named for s in r.specifier if s.operator == ">="}


def test_the_lowest_versions_that_are_tested_are_the_declared_ones():
    extras = PROJECT["optional-dependencies"]
    declared = floors([*PROJECT["dependencies"], *extras["embedded"], *extras["test"]])
    lines = (ROOT / ".ci/lowest.txt").read_text("utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: tested.get(name) for name in declared} == declared


def test_the_supported_pythons_are_those_that_are_tested():
    prefix = "Programming Language :: Python :: 3."
    minors = [int(c.removeprefix(prefix)) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert minors == list(range(minors[0], minors[-1] + 1))
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [n for n in range(minors[-1] + 1) if f"3.{n}" in allowed] == minors
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == [f"3.{n}" for n in minors]
    assert f'"3.{minors[0]}"' in repr(jobs["lowest"]).replace("'", '"')


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_relative_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text("utf-8"))
    relative = [link for link in links if not link.startswith(("https://", "#"))]
    assert [link for link in relative if not (ROOT / link.split("#")[0]).exists()] == []


def test_the_package_index_gets_absolute_links():
    text = (ROOT / "README.md").read_text("utf-8")
    for rule in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"][
        "substitutions"
    ]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    home = PROJECT["urls"]["Homepage"]
    assert f"{home}/blob/main/docs/architecture.md" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
