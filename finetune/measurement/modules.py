"""The scores of a run: the built-in ones, and those of the user's own `evaluate` modules."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune import own_code
from finetune.errors import RecipeError
from finetune.measurement.scores import compute_scores

_LOGITS = {"single_label": True, "multi_label": True, "regression": False}
_DTYPE = {"single_label": np.int64, "multi_label": np.float64, "regression": np.float64}  # of targets


class Meter:
    """Measures a split: the built-in scores, then the user's own modules.

    Args:
        task: single_label, multi_label or regression.
        user_modules: Paths of evaluate modules. Each gets `predictions` (class indices, 0/1 rows, or numbers) and
            `references`, and its numbers are added under their own names; higher counts as better.

    Raises:
        RecipeError: A module cannot be loaded, or the user has not allowed its code to run.
    """

    def __init__(self, task: str, user_modules: list[str]) -> None:
        self._task = task
        self._user = {path: _load_module(path) for path in user_modules}

    def measure(self, logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """Name -> value; logits as the model gives them, (rows, outputs).

        Raises:
            RecipeError: A user's module fails, or returns a value that is not a number or a name that is taken.
        """
        predictions = logits if _LOGITS[self._task] else logits.reshape(len(logits))
        scores = compute_scores(self._task, predictions.astype(np.float64), targets.astype(_DTYPE[self._task]))
        for path, module in self._user.items():
            scores.update(self._measure_with(path, module, logits, targets, set(scores)))
        return scores

    def _measure_with(
        self, path: str, module: Any, logits: NDArray[Any], targets: NDArray[Any], taken: set[str]
    ) -> dict[str, float]:
        try:
            result = module.compute(predictions=_decide(self._task, logits), references=targets)
        except Exception as error:  # the user's code: say where it failed
            raise _bad_module(path, f"{path}: {type(error).__name__}: {error}") from error
        for name, value in result.items():
            if name in taken:
                raise _bad_module(path, f"{path}: '{name}' is measured already; rename it in the module.")
            if not isinstance(value, int | float | np.number):
                raise _bad_module(path, f"{path}: '{name}' is {type(value).__name__}, expected a number.")
        return {name: float(value) for name, value in result.items()}


def _decide(task: str, logits: NDArray[Any]) -> NDArray[Any]:
    """Logits -> what a user's metric expects as predictions."""
    if task == "single_label":
        return logits.argmax(axis=1)
    return (logits > 0).astype(np.int64) if task == "multi_label" else logits.reshape(len(logits))


def _load_module(path: str) -> Any:
    if address := own_code.foreign_import(Path(path)):
        why = f"{path}: would run code from {address}. Put that file beside it, and leave out '# From:'."
        raise _bad_module(path, why)
    own_code.refuse_unknown([path])
    import evaluate  # seconds, and needed here only

    try:
        return evaluate.load(str(Path(path).resolve()), keep_in_memory=True)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise _bad_module(path, f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def _bad_module(path: str, why: str) -> RecipeError:
    return RecipeError(why, key="training.metrics", found=path)
