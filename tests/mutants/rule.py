"""The verdict rule, what it predicts, and what a prompt file is valid for."""

from __future__ import annotations

from mutant import Mutant

_FAST, _PAIRED, _SOURCE = "gate/fast.py", "gate/paired.py", "files/source.py"
_DECISION, _PREDICTION = ("gate/test_decision.py",), ("gate/test_prediction.py",)
_STATISTICS, _FINGERPRINT = ("gate/test_statistics.py",), ("files/test_fingerprint.py",)

MUTANTS = (
    Mutant(
        "a drop is divided by the examples that were compared",
        _FAST,
        "for a, b in shared) + fallen) / compared",
        "for a, b in shared) + fallen) / size",
        _PREDICTION,
    ),
    Mutant(
        "a prediction counts recorded runs and repeats",
        _FAST,
        "runs = (recorded.runs if recorded else 1, settings.repeats)",
        "runs = (1, 1)",
        _PREDICTION,
    ),
    Mutant(
        "only what nothing can change is certain",
        _FAST,
        "return verdict, 1.0 if certain else 1.0 - 1.0 / DRAWS",
        "return verdict, 1.0",
        _PREDICTION,
    ),
    Mutant(
        "a single graded change has a p-value",
        _PAIRED,
        "return float((2 * positive @ sizes - sizes.sum() <= observed).mean())",
        "return 0.0 if n == 1 else float((2 * positive @ sizes - sizes.sum() <= observed).mean())",
        _STATISTICS,
    ),
    Mutant(
        "the order of graded examples does not matter",
        _PAIRED,
        "sizes, observed = np.sort(abs(changes)), changes.sum() + _EQUAL",
        "sizes, observed = abs(changes), changes.sum() + _EQUAL",
        _STATISTICS,
    ),
    Mutant(
        "fingerprints of another scheme are not compared",
        "files/fingerprint.py",
        "if then is None or now is None or scheme(then) != scheme(now):",
        "if then is None or now is None:",
        _FINGERPRINT,
    ),
)
