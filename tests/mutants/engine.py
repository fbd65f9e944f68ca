"""Behaviours of the optimiser, the scoring and the LM wing, broken one by one."""

from __future__ import annotations

from mutant import Mutant

_BOOTSTRAP = "optimizers/mipro/bootstrap.py"
_DEMOSETS = "optimizers/mipro/demosets.py"
_EFFECTS = "optimizers/mipro/effects.py"
_EFFORT = "optimizers/mipro/effort.py"
_OPTIMIZER = "optimizers/mipro/optimizer.py"
_PROPOSE = "optimizers/mipro/propose.py"
_RACE = "optimizers/mipro/race.py"
_SAMPLERS = "optimizers/mipro/samplers.py"
_SEARCH = "optimizers/mipro/search.py"
_TELEPROMPTER = "optimizers/mipro/teleprompter.py"

MUTANTS: tuple[Mutant, ...] = (
    # The teacher, and bootstrapping.
    Mutant(
        "a teacher is used",
        _OPTIMIZER,
        "teacher=teacher if teacher is not None else scorer.program.deepcopy()",
        "teacher=scorer.program.deepcopy()",
        ("optimizers/test_mipro.py::test_the_demos_are_the_teachers",),
    ),
    Mutant(
        "a teacher that is given to compile is handed on",
        _TELEPROMPTER,
        "            return teacher\n",
        "            return None\n",
        ("optimizers/test_mipro.py::test_the_demos_are_the_teachers",),
    ),
    Mutant(
        "a teacher may have an LM of its own",
        _TELEPROMPTER,
        "        copy.set_lm(lm)\n",
        "",
        ("optimizers/test_mipro.py::test_the_teachers_lm_may_be_another",),
    ),
    Mutant(
        "bootstrapping runs in parallel",
        _BOOTSTRAP,
        "        width = 2 * self._scorer.threads\n",
        "        width = 1\n",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "bootstrapping asks for no more than is likely to be needed",
        _BOOTSTRAP,
        "most = min(width, 2 * (self._wanted - self._passed), affordable)",
        "most = min(width, affordable)",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "bootstrapping stops within its calls",
        _BOOTSTRAP,
        "most = min(width, 2 * (self._wanted - self._passed), affordable)",
        "most = min(width, 2 * (self._wanted - self._passed))",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "only traces that pass the metric give demos",
        _BOOTSTRAP,
        "        if outcome.success:\n",
        "        if True:\n",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "there is a second round of bootstrapping",
        _BOOTSTRAP,
        "MAX_ROUNDS = 2\n",
        "MAX_ROUNDS = 1\n",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "the second round of bootstrapping shows other labeled demos",
        _BOOTSTRAP,
        "            self._left = self._failed\n            self._begin_round()\n",
        "            again = [ex for ex in self._failed if not any(ex is s for s in self._shown)]\n"
        "            self._left = again\n",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "an example whose label the teacher is shown is not asked for in that round",
        _BOOTSTRAP,
        "        self._left = [ex for ex in self._left if not any(ex is s for s in self._shown)]\n",
        "",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "what passed is not asked again in the second round",
        _BOOTSTRAP,
        "        else:\n            self._failed.append(example)\n",
        "        self._failed.append(example)\n",
        ("optimizers/test_bootstrap.py",),
    ),
    Mutant(
        "a teacher that brings demos keeps them",
        _BOOTSTRAP,
        "size == 0 or any(prompt.demos for prompt in seed.values()) or",
        "size == 0 or",
        ("optimizers/test_bootstrap.py",),
    ),
    # Demo sets.
    Mutant(
        "the labeled-only set and the teacher's demos are evened",
        _DEMOSETS,
        "    return _in_turn(_balancing([], demos, size, rng), rng)\n",
        "    return _in_turn(_sample(demos, size, rng), rng)\n",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "the answers of a demo set take turns",
        _DEMOSETS,
        "    groups = _by_outputs(_sample(demos, len(demos), rng))\n    ordered",
        "    return _sample(demos, len(demos), rng)\n    groups = {}\n    ordered",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "every second mixture of demos is evened",
        _DEMOSETS,
        "even=attempt % 2 == 0",
        "even=False",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "not all mixtures of demos are evened",
        _DEMOSETS,
        "even=attempt % 2 == 0",
        "even=True",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "evening counts the demos that a set holds already",
        _DEMOSETS,
        "*_balancing(chosen, rest, wanted, rng)",
        "*_balancing([], rest, wanted, rng)",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "no demo set stands twice",
        _DEMOSETS,
        "if len(found) < count and _identity(demos) not in seen:",
        "if len(found) < count:",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "a labeled demo does not stand beside a bootstrapped one on the same input",
        _DEMOSETS,
        "[demo for demo in given if demo.inputs_key() not in taken]",
        "[*given]",
        ("optimizers/test_demosets.py",),
    ),
    Mutant(
        "demo sets are of all sizes",
        _DEMOSETS,
        "size = rng.randint(1, limits.most)",
        "size = limits.most",
        ("optimizers/test_demosets.py",),
    ),
    # Proposals.
    Mutant(
        "a second wave of proposals has other tips",
        _PROPOSE,
        "(number + wave * 3) % len(tips)",
        "number % len(tips)",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "proposals of a wave have different tips",
        _PROPOSE,
        "(number + wave * 3) % len(tips)",
        "(1 + wave * 3) % len(tips)",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "there are three waves of proposals",
        _PROPOSE,
        "WAVES = 3\n",
        "WAVES = 1\n",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "each proposal is asked for anew",
        _PROPOSE,
        "return cls(fields, wave * 1000 + number)",
        "return cls(fields, wave * 1000)",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "what is dropped is asked for anew",
        _PROPOSE,
        "return cls(fields, wave * 1000 + number)",
        "return cls(fields, number)",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "an instruction that gives away an example is dropped",
        "optimizers/mipro/guard.py",
        "return None if any(given in squeezed for given in self._inputs) else text",
        "return text",
        ("optimizers/test_propose.py",),
    ),
    Mutant(
        "a repetition is dropped",
        "optimizers/mipro/guard.py",
        "if any(squeezed == _squeezed(other) for other in taken):",
        "if text in taken:",
        ("optimizers/test_propose.py",),
    ),
    # The phases and their shares.
    Mutant(
        "the warm-up goes last",
        _OPTIMIZER,
        'kind="search", after=GOES_BEFORE)',
        'kind="search")',
        ("optimizers/test_optimizer.py",),
    ),
    Mutant(
        "bootstrapping gets no more than its share of the calls",
        _OPTIMIZER,
        "most_calls=effort.bootstrap_calls,",
        "most_calls=effort.calls,",
        ("optimizers/test_optimizer.py",),
    ),
    Mutant(
        "bootstrapping's share is 15 per cent",
        _EFFORT,
        "BOOTSTRAP_SHARE = 0.15",
        "BOOTSTRAP_SHARE = 0.5",
        ("optimizers/test_effort.py",),
    ),
    Mutant(
        "what bootstrapping and proposing took is not spent again",
        _OPTIMIZER,
        "max(1, effort.calls - traces.calls - proposals.calls)",
        "effort.calls",
        ("optimizers/test_mipro.py::test_a_budget_holds_for_all_phases_together",),
    ),
    Mutant(
        "no more validation examples are met than the effort says",
        _OPTIMIZER,
        "in_order(valset, seed)[: effort.val_size]",
        "in_order(valset, seed)",
        ("optimizers/test_optimizer.py",),
    ),
    Mutant(
        "without demos there are twice as many instructions",
        _EFFORT,
        "(2 if limits.zero_shot else 1)",
        "1",
        ("optimizers/test_effort.py",),
    ),
    Mutant(
        "without a validation set the training set is parted",
        _TELEPROMPTER,
        "    return order[:half], order[half:]\n",
        "    return order, order[half:]\n",
        (
            "optimizers/test_mipro.py::test_without_a_validation_set_no_example_is_both_shown_and_scored",
        ),
    ),
    # The race.
    Mutant(
        "configurations meet examples in the same order",
        _RACE,
        "[runner.submitted : self._limit()][:size]\n",
        "[runner.submitted : self._limit()][:size]\n"
        "        block = block[:: -1 if runner.number % 2 else 1]\n",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "configurations begin with the same examples",
        _RACE,
        "        block = self._examples[runner.submitted : self._limit()][:size]\n",
        "        turned = self._examples[runner.number :] + self._examples[: runner.number]\n"
        "        block = turned[runner.submitted : self._limit()][:size]\n",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "the order of the examples is shuffled by the seed",
        _SEARCH,
        '    random.Random(f"order-{seed}").shuffle(examples)\n',
        "",
        ("optimizers/test_search.py",),
    ),
    Mutant(
        "a configuration meets no example twice",
        _RACE,
        "        runner.submitted += len(block)\n",
        "        runner.submitted += len(block) - (len(block) > 1)\n",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "the winner's score is corrected",
        _RACE,
        "best.estimate + self._surprise()",
        "best.estimate",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "the winner's score is corrected by outcomes since the finalists were chosen",
        _RACE,
        "for n in range(forecast.met, len(runner.outcomes)):",
        "for n in range(forecast.met):",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "finalists are chosen again when the last explorations are in",
        _SEARCH,
        "        if race.explored and visit.exploring and not race.exploring:\n"
        "            race.choose_finalists()\n",
        "",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "finalists are chosen while the last explorations are under way",
        _SEARCH,
        "if race.has_explored() or not race.running:",
        "if not race.running:",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "the seed prompt is among the finalists",
        _RACE,
        "best if seed in best else [*best, seed]",
        "best",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "the finalists get a share of the calls",
        _RACE,
        "FINAL_SHARE = 0.3",
        "FINAL_SHARE = 0.0",
        ("optimizers/test_race.py",),
    ),
    Mutant(
        "only finalists run in the final",
        _SAMPLERS,
        "        if self.finalists:\n",
        "        if False:\n",
        ("optimizers/test_samplers.py",),
    ),
    Mutant(
        "a finalist that met all examples is not proposed",
        _SAMPLERS,
        "[choice for choice in self.finalists if self._open_to(choice)]",
        "list(self.finalists)",
        ("optimizers/test_samplers.py",),
    ),
    Mutant(
        "upstream prompts are kept",
        _SAMPLERS,
        "self._with_upstream_kept(values.best())",
        "values.best()",
        ("optimizers/test_samplers.py",),
    ),
    Mutant(
        "upstream prompts are kept often",
        _SAMPLERS,
        "UPSTREAM_KEPT = 0.3",
        "UPSTREAM_KEPT = 0.0",
        ("optimizers/test_samplers.py",),
    ),
    Mutant(
        "racing drops losers",
        _SAMPLERS,
        "        self._hear(study)\n        if self.model.observed < WARM_UP:\n",
        "        self._hear(study)\n        if True:\n",
        ("optimizers/test_samplers.py::test_a_configuration_that_lost_is_hardly_proposed_again",),
    ),
    Mutant(
        "TPE's losers are pruned",
        _SEARCH,
        "    return mean < -DROP_ERRORS * math.sqrt(variance / n)\n",
        "    return False\n",
        ("optimizers/test_race.py::test_what_falls_behind_is_dropped_by_tpe_after_a_few_examples",),
    ),
    Mutant(
        "the calls in flight are all that may be over the budget",
        _RACE,
        "        return min(likely, over / max(self._dearest, 1) - self.under_way)\n",
        "        return likely + 40\n",
        (
            "optimizers/test_search.py::test_the_budget_is_exceeded_by_no_more_than_the_calls_in_flight",
        ),
    ),
    Mutant(
        "a result depends on the order of asking, not of answering",
        _RACE,
        "        visit = self.running.popleft()\n",
        "        self.running.rotate(\n"
        "            -next((n for n, v in enumerate(self.running) if v.futures[-1].done()), 0)\n"
        "        )\n"
        "        visit = self.running.popleft()\n",
        ("optimizers/test_search.py::test_slow_and_fast_calls_give_the_same_result",),
    ),
    Mutant(
        "Optuna says nothing of its studies",
        _RACE,
        "        optuna.logging.set_verbosity(optuna.logging.WARNING)\n",
        "",
        ("optimizers/test_race.py",),
    ),
    # What is learned.
    Mutant(
        "what is learned of a demo carries over to sets that hold it",
        _EFFECTS,
        "        weights[option, list(demos)] = 1 / max(1, len(demos)) ** 0.5\n",
        "        pass\n",
        ("optimizers/test_effects.py",),
    ),
    Mutant(
        "hard examples do not count against those who met them",
        _EFFECTS,
        "        self._by_example[np.ix_(columns, list(examples))] += weights[:, None]\n",
        "",
        ("optimizers/test_effects.py",),
    ),
    Mutant(
        "parts that are good only together are found",
        _EFFECTS,
        "                columns.append(pairs[pair])\n",
        "                columns.append(0)\n",
        ("optimizers/test_effects.py",),
    ),
    # Scoring.
    Mutant(
        "an example that was scored is not run again",
        "scoring.py",
        "            self._memo[name, id(example)] = (example, outcome)\n",
        "",
        ("test_scoring.py",),
    ),
    Mutant(
        "a run is started once, however often it is asked for",
        "scoring.py",
        "        entry = self._memo.get((name, id(example)))\n",
        "        entry = None\n",
        ("test_scoring.py",),
    ),
    Mutant(
        "what is to go after waits for what is asked for later",
        "scoring.py",
        "turn = next(self._turns) + after\n",
        "turn = next(self._turns)\n",
        ("test_scoring.py",),
    ),
    Mutant(
        "a lost request that the program swallows is not scored",
        "scoring.py",
        "if lost is not None and isinstance(result, Outcome):",
        "if False:",
        ("test_scoring.py",),
    ),
    Mutant(
        "what a recording does not hold is not scored though the program swallows it",
        "scoring.py",
        "if run.unrecorded is not None and isinstance(result, Outcome):",
        "if False:",
        ("test_scoring.py",),
    ),
    Mutant(
        "a repeat asks anew",
        "scoring.py",
        'name = self._digest(prompts) + (f"@{repeat}" if repeat else "")\n',
        "name = self._digest(prompts)\n",
        ("test_scoring.py",),
    ),
    Mutant(
        "calls are counted by kind",
        "scoring.py",
        "return self.call(lambda: self.run(program, example, trace=True), kind=kind)",
        'return self.call(lambda: self.run(program, example, trace=True), kind="search")',
        ("optimizers/test_optimizer.py",),
    ),
    Mutant(
        "the LM that a predictor brings asks the store too",
        "scoring.py",
        "                predictor.lm = around(self.store, predictor.lm)\n",
        "                pass\n",
        ("test_scoring.py",),
    ),
    # The store, the slots and what is noted of a run.
    Mutant(
        "a repeat goes past DSPy's cache",
        "lm/answering.py",
        'return {"cache": False} if run and run.repeat and seam.takes_cache(lm) else {}',
        "return {}",
        ("test_scoring.py",),
    ),
    Mutant(
        "what DSPy's cache answers is counted as paid for before",
        "lm/answering.py",
        "            if not tracker.told:\n                run.reused({})",
        "            if False:\n                run.reused({})",
        ("test_scoring.py",),
    ),
    Mutant(
        "calls that are awaited take slots too",
        "lm/answering.py",
        "    await asyncio.to_thread(slots.acquire, run.turn)\n    try:\n        yield\n"
        "    finally:\n        slots.release()\n",
        "    yield\n",
        ("test_scoring.py",),
    ),
    Mutant(
        "who waits for a request that fails asks for itself",
        "lm/answering.py",
        "        store.abandon(key)\n",
        "        store.keep(key, Answer(['lost'], {}))\n",
        ("lm/test_answering.py",),
    ),
    Mutant(
        "who waits for another's answer holds no slot",
        "lm/answering.py",
        "        key, request = _noted(call)\n"
        "        while isinstance(found := _find(self.store, key, request), Future):\n"
        "            found.result()\n",
        "        key, request = _noted(call)\n"
        "        while isinstance(found := _find(self.store, key, request), Future):\n"
        "            with _slot():\n"
        "                found.result()\n",
        ("lm/test_answering.py",),
    ),
    Mutant(
        "a program that changes an answer does not change what others get",
        "lm/answering.py",
        "Answer(deepcopy(outputs), dict(tracker.counts))",
        "Answer(outputs, dict(tracker.counts))",
        ("lm/test_answering.py",),
    ),
    Mutant(
        "a request that was lost and then answered is not lost",
        "lm/answering.py",
        "            run.lost.pop(asked, None)\n",
        "",
        ("lm/test_answering.py",),
    ),
    Mutant(
        "a program that asks twice in one run gets two answers",
        "lm/answering.py",
        '    key = f"{key}-{number}" if number else key\n',
        "",
        ("lm/test_store.py",),
    ),
    Mutant(
        "what is under way is waited for and not asked twice",
        "lm/store.py",
        "            self._answers[key] = Future() if stored is None else "
        "replace(stored, earlier=False)\n",
        "            if stored is not None:\n"
        "                self._answers[key] = replace(stored, earlier=False)\n",
        ("lm/test_store.py",),
    ),
    Mutant(
        "what an earlier run paid for is counted once",
        "lm/store.py",
        "replace(stored, earlier=False)",
        "stored",
        ("lm/test_store.py",),
    ),
    Mutant(
        "the store survives being reopened",
        "lm/store.py",
        "            self._file.write(key, answer)\n",
        "            pass\n",
        ("lm/test_store.py",),
    ),
    Mutant(
        "a run that is begun again asks nothing again",
        "lm/store.py",
        "stored = self._file.read(key) if self._file else None",
        "stored = None",
        ("optimizers/test_optimizer.py",),
    ),
    Mutant(
        "a closed store asks nothing",
        "lm/store.py",
        "            if self._closed:\n",
        "            if False:\n",
        ("lm/test_store.py",),
    ),
    Mutant(
        "neither key nor address is part of a request",
        "lm/requests.py",
        "            if name not in CONNECTION\n",
        "",
        ("lm/test_store.py",),
    ),
    Mutant(
        "the lowest turn goes first",
        "lm/slots.py",
        "(turn, next(self._arrivals), called)",
        "(next(self._arrivals), turn, called)",
        ("lm/test_slots.py",),
    ),
    Mutant(
        "no more calls are under way than there are slots",
        "lm/slots.py",
        "if self._free and not self._waiting:",
        "if True:",
        ("lm/test_slots.py",),
    ),
    Mutant(
        "a slot is given back after an error",
        "lm/slots.py",
        "        try:\n            yield\n        finally:\n            self.release()\n",
        "        yield\n        self.release()\n",
        ("lm/test_slots.py",),
    ),
    Mutant(
        "what an earlier run paid for is told apart",
        "lm/usage.py",
        "            self._reused += 1\n",
        "",
        ("lm/test_usage.py",),
    ),
    Mutant(
        "a small model's answer is held to a grammar",
        "lm/plain_adapter.py",
        "        return _one_of([str(value) for value in get_args(annotation)])\n",
        "        pass\n",
        ("lm/test_plain_adapter.py",),
    ),
)
