"""Sort one ticket from the command line: python -m triage "I was charged twice"."""

import os
import sys
from pathlib import Path

import dspy

from pytest_mipro import PlainAdapter, embedded_lm, load_prompts
from triage.program import Route

PROMPTS = Path(__file__).parent.parent / "tests" / "prompts" / "route.yaml"


def main() -> None:
    """Answer with the committed prompts; production needs no pytest."""
    if len(sys.argv) != 2:
        sys.exit('usage: python -m triage "the text of a ticket"')
    if name := os.environ.get("TRIAGE_LM"):
        dspy.configure(lm=dspy.LM(name, temperature=0.0))
    else:
        dspy.configure(lm=embedded_lm(), adapter=PlainAdapter())
    route = load_prompts(Route(), PROMPTS)
    answer = route(ticket=sys.argv[1])
    sys.stdout.write(f"team: {answer.team}\nurgency: {answer.urgency}\n")


if __name__ == "__main__":
    main()
