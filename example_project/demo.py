"""make demo: optimise the example's two programs, and show what that gained.

The prompt files go to .mipro/demo in the repository, so that the committed ones stay as they are.
"""

import difflib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / ".mipro" / "demo"


def main() -> int:
    """Run the two programs through ``pytest --mipro-optimize`` and report."""
    say("Optimising two programs on an embedded language model: no API key, no network.")
    say("  triage: ticket -> team                 (one predictor)")
    say("  route:  ticket -> team -> urgency      (two predictors, searched jointly)")
    say(f"Prompt files go to {OUT.relative_to(HERE.parent)}. This takes about five minutes.\n")
    began = time.monotonic()
    status = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(HERE), "--mipro-optimize"),
            "--mipro-fresh",
            *("-o", f"mipro_prompt_dir={OUT}", "-p", "no:cacheprovider"),
        ],
        check=False,
    ).returncode
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    if status:
        say(f"\npytest ended with status {status}; what is above says why.")
        return status
    sys.path.insert(0, str(HERE))
    from triage import Route, Triage

    for name, program in (("triage", Triage()), ("route", Route())):
        show_diff(name, program)
    say("\nHeld-out score (tickets that the search never saw), with 95 % intervals:")
    for name in ("triage", "route"):
        show_scores(name)
    say(f"\nOptimised and gated in {minutes} min {seconds:02d} s. Next:")
    say("  .venv/bin/python -m pytest example_project     the gate on the committed prompts")
    say("  less example_project/tests/test_prompts.py     how a prompt test is written")
    return 0


def show_scores(name: str) -> None:
    """Print the baseline and the compiled score of a prompt file, and the difference."""
    scores = yaml.safe_load((OUT / f"{name}.yaml").read_text(encoding="utf-8"))["scores"]
    before, after = scores["baseline"], scores["compiled"]
    gain = 100 * (after["mean"] - before["mean"])
    say(
        f"  {name:<7} baseline {described(before)}   compiled {described(after)}   "
        f"{gain:+.1f} points   n={after['n']}"
    )


def described(score: dict[str, Any]) -> str:
    low, high = score["interval"]
    return f"{score['mean']:.3f} ({low:.3f} to {high:.3f})"


def show_diff(name: str, program: Any) -> None:
    """Print the prompts before and after as a diff."""
    from pytest_mipro import load_prompts, save_prompts

    before, after = (OUT / "shown" / f"{name}.{which}.yaml" for which in ("before", "after"))
    save_prompts(program, before, name=name)
    save_prompts(load_prompts(program, OUT / f"{name}.yaml"), after, name=name)
    texts = [path.read_text(encoding="utf-8").splitlines() for path in (before, after)]
    say(f"\nWhat changed in the prompts of {name}:")
    for line in difflib.unified_diff(
        *texts, f"{name} (source)", f"{name} (optimised)", "", "", 1, ""
    ):
        say(f"  {line}")


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
