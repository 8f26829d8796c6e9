"""Chooses the settings of the next trial, with Optuna.

The first settings are random. From then on, Optuna's tree-structured Parzen estimator (Bergstra et al. 2011,
in the multivariate form of Falkner et al. 2018) prefers settings like those of the better trials. The choice
depends on the trials so far, their order and the seed only, so an interrupted tuning continues as if it had
not been interrupted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.artifacts import Trial, TrialState
from bitext.components.artifacts.tuning import Settings
from bitext.components.shared.errors import ConfigError
from bitext.pipeline.tuning.dimensions import Dimension, product, random_points
from bitext.pipeline.tuning.space import Space

if TYPE_CHECKING:
    import optuna

MIN_RANDOM = 5
MAX_RANDOM = 10
"""The number of random trials before the estimator chooses is twice that of the keys, within these limits."""
MAX_LISTED = 20_000
"""The most combinations of a space that are listed to find one that was not tried."""
MIN_RATED = 6
"""The fewest scores from which the importance of a key is estimated."""
_ATTEMPTS = 50


def require_optuna() -> None:
    """Raises ConfigError if the extra `tune` is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("`bitext tune` needs optuna, which is not installed", "pip install 'bitext[tune]'")


class Search:
    """Chooses settings.

    Args:
      space: the settings that there are.
      seed: of the random numbers.
      is_allowed: whether the configuration with some settings is valid.
    """

    def __init__(self, space: Space, seed: int, is_allowed: Callable[[Settings], bool]):
        self._space, self._seed, self._is_allowed = space, seed, is_allowed
        self._distributions = {d.key: _distribution(d) for d in space.dimensions}

    def next(self, trials: Sequence[Trial]) -> Settings | None:
        """Returns the settings of the next trial; None: all settings of the space were tried.

        Args:
          trials: all trials so far, also those in progress.
        """
        tried = [trial.settings for trial in trials]
        for settings in (*self._estimated(trials), *self._untried(tried, len(trials))):
            if settings not in tried and self._is_allowed(settings):
                return settings
        return None

    def _estimated(self, trials: Sequence[Trial]) -> Iterator[Settings]:
        """Yields settings that Optuna chooses. It takes earlier ones for tried, so it turns to others."""
        study = self._study(trials, _seed(self._seed, len(trials)))
        for _ in range(_ATTEMPTS):
            yield self._space.settings(study.ask(self._distributions).params)

    def _untried(self, tried: Sequence[Settings], number: int) -> Iterator[Settings]:
        """Yields settings that were not tried, in random order: all if they can be listed."""
        draw = random.Random(_seed(self._seed, number))
        count = product(self._space.dimensions)
        if count is None or count > MAX_LISTED:
            for _ in range(_ATTEMPTS):
                yield self._space.settings(random_points(self._space.dimensions, draw.uniform))
            return
        keys = [dimension.key for dimension in self._space.dimensions]
        points = [range(dimension.count or 0) for dimension in self._space.dimensions]
        lows = [0 if d.values or d.step is not None else int(d.low) for d in self._space.dimensions]
        combinations = list(itertools.product(*points))
        draw.shuffle(combinations)
        for indices in combinations:
            shifted = (low + index for low, index in zip(lows, indices, strict=True))
            yield self._space.settings(dict(zip(keys, shifted, strict=True)))

    def importances(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Returns how much each key decides about the score, of 1 in total, the most important first.

        It is PED-ANOVA (Watanabe et al. 2023). Empty: there are too few keys or scores.
        """
        rated = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        scores = {trial.bleu for trial in rated}
        if len(self._space.dimensions) < 2 or len(rated) < MIN_RATED or len(scores) < 2:
            return {}
        import optuna

        with _quiet():
            study = self._study(rated, 0)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))

    def _study(self, trials: Sequence[Trial], seed: int) -> optuna.Study:
        """Returns a study with these trials, in memory."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        count = min(max(2 * len(self._distributions), MIN_RANDOM), MAX_RANDOM)
        with _quiet():
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=count
            )
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for trial in trials:
                points = self._space.points(trial.settings)
                if points is not None:
                    study.add_trial(self._frozen(trial, points))
        return study

    def _frozen(self, trial: Trial, points: Mapping[str, float]) -> optuna.trial.FrozenTrial:
        """Returns a trial as Optuna has it. One that failed has the score of a model that learned nothing."""
        from optuna.trial import TrialState as Theirs
        from optuna.trial import create_trial

        params: dict[str, Any] = dict(points)
        state, value, between = Theirs.RUNNING, None, dict[int, float]()
        if trial.state == TrialState.COMPLETE:
            state, value = Theirs.COMPLETE, trial.bleu or 0.0
        elif trial.state == TrialState.FAILED:
            state, value = Theirs.COMPLETE, 0.0
        elif trial.state == TrialState.PRUNED:
            state = Theirs.PRUNED
            between = {round(100 * share): score for share, score in trial.curve}
        return create_trial(
            state=state,
            value=value,
            params=params,
            distributions=self._distributions,
            intermediate_values=between,
        )


def _distribution(dimension: Dimension) -> Any:
    """Returns Optuna's distribution of the points of a dimension."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    low, high = dimension.points
    if not dimension.is_ordered:
        return CategoricalDistribution(range(int(high) + 1))
    if dimension.is_continuous:
        return FloatDistribution(low, high, log=dimension.is_log)
    return IntDistribution(int(low), int(high), log=dimension.is_log)


def _seed(seed: int, number: int) -> int:
    """Returns a seed for the choice of one trial, below 2**32."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def _quiet() -> warnings.catch_warnings:
    """Context manager: ignores Optuna's warnings that some of what is used here may change."""
    return warnings.catch_warnings(action="ignore")
