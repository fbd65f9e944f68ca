"""Ready-made metrics, thin over well-kept libraries.

Each is called once with what it compares, and gives a DSPy metric ``metric(example, prediction,
trace=None)``. While scoring (``trace`` is None) it returns what its class says; while bootstrapping
it returns a bool: whether the run may become a demo. A changed argument is a changed metric: prompt
files that were made with the old one are stale.

Example::

    from pytest_mipro import metrics

    mipro(Answer(), metric=metrics.TokenF1("answer", success=0.8), trainset=train)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Similarity = Literal["ratio", "partial_ratio", "token_sort_ratio", "token_set_ratio", "WRatio"]


@dataclass(frozen=True)
class ExactMatch:
    """Whether fields are equal, as text; all of them when there are several.

    Scoring and bootstrapping: a bool.

    Args:
        names: the fields to compare; all labels of the example without any.
        normalize: whether case, punctuation, articles and spaces do not matter, as in
            ``dspy.evaluate.normalize_text``; else only spaces around the text do not.
    """

    names: tuple[str, ...]
    normalize: bool

    def __init__(self, *names: str, normalize: bool = False) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "normalize", normalize)

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> bool:
        """Compare."""
        from dspy.evaluate.metrics import normalize_text

        form = normalize_text if self.normalize else str.strip
        return all(
            form(_text(example, name)) == form(_text(prediction, name))
            for name in self.names or tuple(example.labels())
        )


@dataclass(frozen=True)
class TokenF1:
    """Harmonic mean of precision and recall of the words in a field (Rajpurkar et al. 2016,
    "SQuAD", section 6.1), after ``dspy.evaluate.normalize_text``.

    Scoring: a number from 0 to 1; bootstrapping: whether it reaches ``success``.

    Args:
        name: the field; where the example has a list of answers, the best counts.
        success: from which score a run may become a demo.
    """

    name: str
    success: float = 1.0

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float | bool:
        """Compare."""
        score = max(_f1(answer, _text(prediction, self.name)) for answer in _answers(self, example))
        return score if trace is None else score >= self.success


@dataclass(frozen=True)
class Regex:
    """Whether a field matches a regular expression, anywhere in the text.

    Scoring and bootstrapping: a bool.

    Args:
        name: the field of the prediction.
        pattern: the expression; without it, the example's field of the same name is one.
        flags: of the module ``re``.
    """

    name: str
    pattern: str | None = None
    flags: int = 0

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> bool:
        """Search."""
        pattern = _text(example, self.name) if self.pattern is None else self.pattern
        return re.search(pattern, _text(prediction, self.name), self.flags) is not None


@dataclass(frozen=True)
class StringSimilarity:
    """How alike two texts are, by one of rapidfuzz's measures.

    Scoring: a number from 0 to 1; bootstrapping: whether it reaches ``success``.

    Args:
        name: the field; where the example has a list of answers, the best counts.
        measure: the name of a function of ``rapidfuzz.fuzz``.
        success: from which score a run may become a demo.
    """

    name: str
    measure: Similarity = "ratio"
    success: float = 0.9

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float | bool:
        """Compare."""
        from rapidfuzz import fuzz

        compare, got = getattr(fuzz, self.measure), _text(prediction, self.name)
        score = max(float(compare(answer, got)) / 100 for answer in _answers(self, example))
        return score if trace is None else score >= self.success


@dataclass(frozen=True, repr=False)
class EmbeddingSimilarity:
    """Cosine of the embeddings of two texts, 0 where it is negative.

    A text is embedded once in a run, and what was recorded is replayed, as for an LM.

    Scoring: a number from 0 to 1; bootstrapping: whether it reaches ``success``.

    Args:
        name: the field; where the example has a list of answers, the best counts.
        embedder: a ``dspy.Embedder``.
        success: from which score a run may become a demo.
    """

    name: str
    embedder: Any
    success: float = 0.9

    def __repr__(self) -> str:
        return f"EmbeddingSimilarity({self.name!r}, {_model(self.embedder)!r}, {self.success:g})"

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float | bool:
        """Compare."""
        got = self._embedded(_text(prediction, self.name))
        score = max(_cosine(self._embedded(text), got) for text in _answers(self, example))
        return score if trace is None else score >= self.success

    def _embedded(self, text: str) -> list[float]:
        from pytest_mipro.lm.answering import answered_once

        request = {
            "model": _model(self.embedder),
            "type": "embedding",
            "messages": [{"role": "user", "content": text}],
        }
        vector: list[float] = answered_once(
            request, lambda: [float(number) for number in self.embedder(text)]
        )
        return vector


@dataclass(frozen=True, repr=False)
class LMJudge:
    """What another LM says of an answer, by a rubric.

    The judge sees the inputs, the labels and the answer, and gives reasons before a score. It is
    asked once for each answer in a run, and what was recorded is replayed. Use an LM other than
    the judged one, at temperature 0, and check it against judgements of your own.

    Scoring: ``dspy.Prediction(score=..., feedback=...)``, the score from 0 to 1; bootstrapping:
    whether it reaches ``success``.

    Args:
        rubric: what makes an answer good, and what a score of 0, 0.5 and 1 means.
        lm: the judge; the LM of the run without it.
        success: from which score a run may become a demo.
    """

    rubric: str
    lm: Any = None
    success: float = 0.8

    def __repr__(self) -> str:
        return f"LMJudge({self.rubric!r}, {_model(self.lm)!r}, {self.success:g})"

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> Any:
        """Ask the judge."""
        import dspy

        from pytest_mipro.lm.answering import stored

        chosen = {} if self.lm is None else {"lm": stored(self.lm), "adapter": dspy.ChatAdapter()}
        with dspy.context(**chosen, trace=[]):
            said = dspy.Predict(_judge(self.rubric))(
                inputs=_fields(example.inputs()),
                expected=_fields(example.labels()) or "(not given)",
                answer=_fields(prediction),
            )
        score = min(1.0, max(0.0, float(said.score)))
        if trace is not None:
            return score >= self.success
        return dspy.Prediction(score=score, feedback=said.reasons)


def _judge(rubric: str) -> Any:
    import dspy

    fields: dict[str, Any] = {
        "inputs": (str, dspy.InputField(desc="what was asked")),
        "expected": (str, dspy.InputField(desc="what a right answer says")),
        "answer": (str, dspy.InputField(desc="what is judged")),
        "reasons": (str, dspy.OutputField(desc="what speaks for and against the answer, briefly")),
        "score": (float, dspy.OutputField(desc="from 0 (fails the rubric) to 1 (meets it fully)")),
    }
    task = "Judge an answer by a rubric. Judge nothing that the rubric does not name."
    return dspy.Signature(fields, f"{task}\n\nRubric: {rubric.strip()}")


def _model(service: Any) -> str:
    """The name of the model behind an LM or an embedder."""
    model = getattr(service, "model", "")
    return model if isinstance(model, str) else str(getattr(model, "__qualname__", type(model)))


def _fields(values: Any) -> str:
    return "\n".join(f"{name}: {value}" for name, value in dict(values.items()).items())


def _text(values: Any, name: str) -> str:
    """A field as text; of what has no such field, an error that names it."""
    fields = values if isinstance(values, Mapping) else dict(values.items())
    if name not in fields:
        raise KeyError(f"no field {name!r}; there are {', '.join(map(str, fields)) or 'none'}")
    return str(fields[name])


def _answers(metric: Any, example: Any) -> list[str]:
    given = dict(example.items()).get(metric.name)
    if isinstance(given, (list, tuple)) and given:
        return [str(answer) for answer in given]
    return [_text(example, metric.name)]


def _f1(expected: str, got: str) -> float:
    from dspy.evaluate.metrics import f1_score, normalize_text

    if not normalize_text(expected) and not normalize_text(got):
        return 1.0
    return float(f1_score(got, expected))


def _cosine(a: list[float], b: list[float]) -> float:
    import numpy as np

    sizes = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, max(0.0, float(np.dot(a, b)) / sizes)) if sizes else 0.0
