"""The next setting to try, by Optuna's tree-structured Parzen estimator. Keeps no state between two settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from finetune.errors import Change, RecipeError
from finetune.records.tune import Dimension, Trial

# Optuna draws its first ten settings at random; a budget of thirty, a third of it for one learning rate, is too small.
AT_RANDOM = 5
DIGITS = 3  # of a value: nobody can tell 0.04873 from 0.0487, and it can be typed
TRIES = 20  # for a setting that has not been tried


def load_optuna() -> ModuleType:
    """Optuna, without its messages.

    Raises:
        RecipeError: It is not installed, or is older than 5, which had other defaults.
    """
    install = Change(command='pip install "finetune[tune]"')
    try:
        import optuna
    except ImportError as error:
        raise RecipeError("finetune tune needs optuna, which is not installed.", install) from error
    if int(optuna.__version__.partition(".")[0]) < 5:
        raise RecipeError(f"finetune tune needs optuna 5 or newer, found {optuna.__version__}.", install)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def next_settings(
    space: Sequence[Dimension], told: Sequence[Trial], fixed: Mapping[str, float], seed: int, number: int
) -> dict[str, float] | None:
    """The next untried settings, given the trials so far.

    A new sampler, seeded by the tune's seed and the trial's number, gets all trials, so that the same history gives the
    same answer in a restarted process.

    Args:
        space: Settings that are searched now.
        told: Trials so far that differ only in these settings, including pruned, failed and running ones.
        fixed: Key -> value of the settings that are searched at other times.
        seed: Seed of the tune.
        number: Number of the trial.

    Returns:
        Key -> value of both; None if (nearly) every setting has been tried.
    """
    optuna = load_optuna()
    distributions = {
        each.key: optuna.distributions.FloatDistribution(each.low, each.high, log=each.is_log) for each in space
    }
    tried = [trial.settings for trial in told]
    for attempt in range(TRIES):
        # Optuna 5 draws the parameters of a single objective jointly (multivariate), and takes running trials for bad
        # ones (constant_liar), so that parallel ones differ; both were off in Optuna 4.
        sampler = optuna.samplers.TPESampler(seed=_seed(seed, number, attempt), n_startup_trials=AT_RANDOM)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([_frozen(optuna, trial, distributions) for trial in told])
        drawn = study.ask(distributions).params
        settings = {**fixed, **{key: float(f"{value:.{DIGITS}g}") for key, value in drawn.items()}}
        inside = {each.key: min(max(settings[each.key], each.low), each.high) for each in space}
        if (settings := {**settings, **inside}) not in tried:
            return settings
    return None


def _seed(seed: int, number: int, attempt: int) -> int:
    return (seed * 1_000_003 + number * TRIES + attempt) % 2**32


def _frozen(optuna: ModuleType, trial: Trial, distributions: Mapping[str, object]) -> object:
    """The trial as Optuna knows it. One that failed, or has no fold yet, counts as the worst by its state alone."""
    states = optuna.trial.TrialState
    params = {key: trial.settings[key] for key in distributions}
    if trial.status == "complete":
        return optuna.trial.create_trial(value=trial.score, params=params, distributions=distributions)
    state = {"running": states.RUNNING, "stopped": states.PRUNED, "failed": states.FAIL}[trial.status]
    steps = dict(enumerate(trial.fold_scores)) if trial.status == "stopped" else {}
    return optuna.trial.create_trial(state=state, params=params, distributions=distributions, intermediate_values=steps)
