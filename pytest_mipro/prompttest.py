"""One prompt test from its task to its result: plan, or optimise, judge and write.

Knows no pytest, so that it can be run, and tested, without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_mipro.errors import TaskError
from pytest_mipro.files import recording
from pytest_mipro.files.committed import Committed
from pytest_mipro.files.location import Location
from pytest_mipro.files.recording import Recording
from pytest_mipro.gate import accept
from pytest_mipro.gate.judge import Judgement, judge
from pytest_mipro.gate.result import GateResult
from pytest_mipro.gate.staleness import changes, uncompared
from pytest_mipro.lm.adapters import adapter_for
from pytest_mipro.lm.description import adapter_name, varies
from pytest_mipro.lm.store import ResponseStore
from pytest_mipro.plan.estimate import Estimate, estimate
from pytest_mipro.plan.readiness import Readiness, check
from pytest_mipro.progress import Listener
from pytest_mipro.scoring import Scorer
from pytest_mipro.settings import Settings
from pytest_mipro.task import PromptTask, make_task


@dataclass(frozen=True)
class Surroundings:
    """What a test finds around it.

    Attributes:
        lm, prompt_lm: the task LM, and the LM that writes instructions; None where none is set.
        slots: LM calls that may be under way at once in this process.
        store: keeps responses from run to run, for optimising; None to keep none.
        requests: filled with what is asked, to be recorded; None to record nothing.
        listener: told of the progress.
    """

    lm: Any
    prompt_lm: Any = None
    slots: int | None = None
    store: ResponseStore | None = None
    requests: dict[str, Mapping[str, Any]] | None = None
    listener: Listener | None = None

    def store_for(self, replayed: Recording | None) -> ResponseStore:
        """What answers a test's LM requests first: a recording alone when one is replayed."""
        if replayed is not None:
            return ResponseStore(answers=replayed.answers, closed=True)
        return self.store or ResponseStore(requests=self.requests)


@dataclass(frozen=True)
class Plan:
    """What can be said before money is spent: see the wing ``plan``."""

    readiness: Readiness
    estimate: Estimate


@dataclass(frozen=True)
class PromptTest:
    """A task, what is committed beside it, and the settings that it is gated with.

    Attributes:
        task: program, metric and data.
        location: of its files.
        settings: of the test.
        committed: the files; None where there is no prompt file, or where it is to be replaced.
    """

    task: PromptTask
    location: Location
    settings: Settings
    committed: Committed | None

    @classmethod
    def prepared(
        cls,
        location: Location,
        settings: Settings,
        program: Any,
        metric: Callable[..., Any],
        trainset: Sequence[Any],
        valset: Sequence[Any] | None = None,
        testset: Sequence[Any] | None = None,
    ) -> PromptTest:
        """Read what is committed, and cut the data as it was cut for it.

        Raises:
            PromptFileError: a file is not valid.
            TaskError: program, metric or data cannot be used.
        """
        committed = None if settings.optimize else Committed.read(location)
        seed = _split_seed(committed, settings.seed)
        task = make_task(program, metric, trainset, valset, testset, seed=seed)
        return cls(task, location, settings, committed)

    def plan(self, lm: Any) -> Plan:
        """Say whether optimising is worth it, and what it takes; no LM is asked."""
        adapter = adapter_for(lm, self.settings.adapter)
        committed = self.committed
        changed: list[str] | None = None
        unclear: list[str] = []
        if committed is not None:
            name = adapter_name(adapter)
            found = changes(self.task, committed.file, committed.scores, adapter=name)
            changed = [change.headline for change in found]
            unclear = uncompared(committed.file, committed.scores)
        recorded = accept.runs_to_record(self.settings, varies=varies(lm))
        return Plan(
            check(self.task, changed, unclear),
            estimate(
                self.task,
                self.settings,
                recorded=recorded,
                committed=committed is not None,
                lm=lm,
                adapter=adapter,
            ),
        )

    def gate(self, around: Surroundings) -> GateResult:
        """Optimise if asked to, give the verdict, and write what is to be written.

        Raises:
            MiproError: anything but a verdict; its message is for a person.
        """
        settings = self.settings
        if self.committed is None and not settings.optimize:
            return GateResult(
                self.location.name,
                "missing",
                self.location.prompt_file,
                threshold=settings.threshold,
            )
        if around.lm is None:
            raise TaskError(
                "no LM is set: configure one with dspy.configure(lm=...), set ini mipro_lm "
                "('embedded', or a model name such as openai/gpt-4o-mini), or define the "
                "fixture mipro_lm"
            )
        replayed = recording.read(self.location) if settings.replay else None
        with self._scorer(around, replayed) as scorer:
            committed, notes = self._committed(scorer, around.prompt_lm, replayed)
            scorer.reporter.phase("gate", len(self.task.split.gate[1]))
            judgement = judge(self.task, committed, settings, scorer)
            notes += self._written(committed, scorer, judgement, around.requests)
            result = judgement.result
            return replace(
                result,
                usage=scorer.meter.usage,
                seconds=scorer.reporter.seconds,
                notes=(*result.notes, *notes),
                optimized=settings.optimize,
            )

    def _scorer(self, around: Surroundings, replayed: Recording | None) -> Scorer:
        settings = self.settings
        return Scorer(
            self.task.program,
            self.task.metric,
            lm=around.lm,
            adapter=adapter_for(around.lm, settings.adapter),
            threads=settings.threads,
            metric_threshold=settings.metric_threshold,
            store=around.store_for(replayed),
            slots=around.slots,
            listener=around.listener,
        )

    def _committed(
        self, scorer: Scorer, prompt_lm: Any, replayed: Recording | None
    ) -> tuple[Committed, list[str]]:
        """What is to be judged, made anew if asked to; and what a reader should know of that."""
        if self.committed is not None:
            return replace(self.committed, recording=replayed), []
        # Imports the optimisers, which a gate does without.
        from pytest_mipro.optimizers.fitting import fit

        fitted = fit(self.task, self.settings, scorer, self.location, prompt_lm=prompt_lm)
        notes = [*_reused(scorer), *([fitted.note] if fitted.note else [])]
        committed = Committed.read(self.location)
        assert committed is not None, "fitting leaves a prompt file"
        return committed, notes

    def _written(
        self,
        committed: Committed,
        scorer: Scorer,
        judgement: Judgement,
        requests: Mapping[str, Mapping[str, Any]] | None,
    ) -> list[str]:
        """Write the recorded scores and the recording if asked to; say what was written, or why
        not."""
        settings, scored = self.settings, judgement.scored
        notes = []
        if settings.update_baseline:
            if judgement.result.passed and scored is not None and scored.complete:
                taken = accept.update(
                    self.task.facts, self.location, committed.file, scored, scorer, settings
                )
                score = accept.score_entry(self.task.facts, taken).mean
                runs = f", of {len(taken.runs)} runs each" if len(taken.runs) > 1 else ""
                notes.append(f"the recorded scores are today's: {score:.3f}{runs}")
            else:
                notes.append("nothing was recorded, as the verdict is not pass on all examples")
        if settings.record and scored is not None:
            if scored.complete:
                keys = [key for outcome in scored.outcomes for key in outcome.requests]
                path = recording.write(self.location, keys, requests or {}, scorer.store.answer)
                notes.append(f"recorded in {path.name}; replay it with --mipro-replay")
            else:
                notes.append("nothing was recorded, as the LM could not be asked for all examples")
        return notes


def _split_seed(committed: Committed | None, seed: int) -> int:
    """The seed that the recorded split was cut with, so that the gate scores the same examples."""
    split = committed.file.fitted_with.get("split") if committed is not None else None
    if isinstance(split, Mapping) and isinstance(split.get("seed"), int):
        return int(split["seed"])
    return seed


def _reused(scorer: Scorer) -> list[str]:
    usage = scorer.meter.usage
    if not usage.reused:
        return []
    return [
        f"{usage.reused} of {usage.total_calls} LM calls were answered by what an earlier run paid "
        "for; --mipro-fresh asks anew"
    ]
