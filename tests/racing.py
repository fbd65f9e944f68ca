"""What configurations race on: instructions that say how good they are."""

from __future__ import annotations

from scripted import hash_of

from pytest_mipro.optimizers.mipro.space import Space
from pytest_mipro.prompts import Demo

WAYS = ["Do it.", *(f"Do it in way {n} please." for n in range(1, 10))]


def space_of(program, instructions, sets=1):
    demo_sets = [()] + [
        (Demo({"text": f"demo {n}"}, {"label": "good"}, "labeled"),) for n in range(1, sets)
    ]
    names = [name for name, _ in program.named_predictors()]
    return Space(dict.fromkeys(names, instructions), dict.fromkeys(names, demo_sets))


def obeys(quality):
    """A script whose accuracy is said by the instruction: 'way 7' is right for 70 per cent."""

    def script(asked):
        number = int(asked.field("text").split()[-1])
        digits = [int(word) for word in asked.instructions.split() if word.isdigit()]
        knows = hash_of(f"{number} {quality}") % 10 < (digits[0] if digits else 2)
        right = "good" if number % 2 == 0 else "bad"
        return {"label": right if knows else {"good": "bad", "bad": "good"}[right], "sure": "yes"}

    return script
