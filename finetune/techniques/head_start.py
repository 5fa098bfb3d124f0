"""Head start: the head begins as a linear model fitted to the frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.errors import Problem
from finetune.tasks import Task
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import HeadValues, ModelChanges, TrainingRows
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""C of the logistic regression, on features scaled to a mean variance of 1; from strongly to weakly shrunk."""
LEAST_SPREAD = 0.05
"""The least standard deviation that is scaled to 1. That of an untrained pooler can be a hundredth of it: weights that
make up for that would turn each step of the encoder into a jump of the logits."""
_SHARPEST = 1.0  # temperature: logits are never made larger than those that were fitted
_BLUNTEST = 100.0


def spread_rows(targets: NDArray[Any], count: int) -> NDArray[Any]:
    """At most `count` positions, in ascending order: evenly over the rows sorted by target, at least one of each class.

    Args:
        targets: (rows,) classes or numbers; rows of (rows, labels) are not sorted.
        count: Maximum number of positions.
    """
    import numpy as np

    rows = len(targets)
    if rows <= count:
        return np.arange(rows)
    order = np.argsort(targets, kind="stable") if targets.ndim == 1 else np.arange(rows)
    chosen = order[(2 * np.arange(count) + 1) * rows // (2 * count)]
    if targets.dtype.kind == "i":
        _, first = np.unique(targets, return_index=True)
        chosen = np.union1d(chosen, first[~np.isin(targets[first], targets[chosen])])
    return np.sort(chosen)


def dealt_folds(targets: NDArray[Any], folds: int) -> NDArray[Any]:
    """(rows,) the fold in which each row is held out, assigned in turn within each class; −1: in none.

    The only row of a class is never held out, and a fold never holds out all rows of a class: each fit knows every
    class. Nothing is random.

    Args:
        targets: (rows,) classes or numbers, or (rows, labels).
        folds: Number of folds, 2 or more.
    """
    import numpy as np

    rows = len(targets)
    order = np.argsort(targets, kind="stable") if targets.ndim == 1 else np.arange(rows)
    found = np.empty(rows, dtype=np.int64)
    found[order] = np.arange(rows) % folds
    if targets.dtype.kind == "i":
        classes, counts = np.unique(targets, return_counts=True)
        found[np.isin(targets, classes[counts == 1])] = -1
    return found


def mean_loss(
    task: Task, logits: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any] | None, certainty: float = 1.0
) -> float:
    """Mean loss of rows: cross-entropy, mean binary cross-entropy, or squared error.

    Args:
        task: What is predicted.
        logits: (rows, outputs).
        targets: (rows,) classes, (rows, outputs) zeros and ones, or (rows,) numbers.
        weights: (rows,), or (rows, outputs) for several labels; None: all equal.
        certainty: Target probability of the right class; the rest is spread over the others. Not for numbers.
    """
    import numpy as np
    from scipy.special import log_expit, log_softmax

    if task == "regression":
        losses = (logits[:, 0] - targets) ** 2
    elif task == "multi_label":
        sure = targets * certainty + (1 - targets) * (1 - certainty)
        losses = -(sure * log_expit(logits) + (1 - sure) * log_expit(-logits))
        if weights is None:
            return float(losses.mean())
    else:
        logs = log_softmax(logits, axis=1)
        right = logs[np.arange(len(targets)), targets]
        others = (logs.sum(axis=1) - right) / max(logits.shape[1] - 1, 1)
        losses = -(certainty * right + (1 - certainty) * others)
    return float(np.average(losses, weights=weights))


def fitting_temperature(
    task: Task, logits: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any] | None = None
) -> float:
    """The number in [1, 100] by which to divide out-of-fold logits for the lowest loss; arguments of `mean_loss`.

    The target of the right class is (n + 1) / (n + 2) for n rows (Platt 1999): n right answers out of n do not prove
    that all will be right, and logits that separate the rows stay finite.
    """
    from scipy.optimize import minimize_scalar

    certainty = (len(targets) + 1) / (len(targets) + 2)
    best = minimize_scalar(  # the loss is convex in 1 / temperature
        lambda factor: mean_loss(task, logits * factor, targets, weights, certainty),
        bounds=(1 / _BLUNTEST, 1 / _SHARPEST),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1 / best.x)


def fit_head(
    task: Task,
    features: NDArray[Any],
    targets: NDArray[Any],
    outputs: int,
    strength: float,
    weights: NDArray[Any] | None = None,
) -> HeadValues:
    """Logistic or ridge regression by scikit-learn, as the weight (outputs, width) and the bias (outputs,) of a head.

    min  C Σ_i loss_i + ½ ‖w‖²  over features (x − mean) / s, s² their mean variance, s at least 0.05; the bias is
    free. Two classes share one w between them, ∓ w / 2. A class without rows has w = 0 and a lower bias than all
    others; a label that all or none of the rows have has w = 0 and the bias log((n₁ + ½) / (n₀ + ½)).

    Args:
        task: What is predicted.
        features: (rows, width).
        targets: (rows,) classes, (rows, outputs) zeros and ones, or (rows,) numbers.
        outputs: Number of outputs of the head.
        strength: C.
        weights: (rows,) weights of the losses, or (rows, outputs) for several labels; None: all equal.
    """
    import numpy as np

    center = features.mean(axis=0)
    scale = max(float(np.sqrt(features.var(axis=0).mean())), LEAST_SPREAD)
    scaled = (features - center) / scale
    if task == "regression":
        from sklearn.linear_model import Ridge  # slow to import

        ridge = Ridge(alpha=1 / (2 * strength)).fit(scaled, targets, sample_weight=weights)
        weight, bias = ridge.coef_[None], np.array([ridge.intercept_])
    elif task == "multi_label":
        own = [None] * outputs if weights is None else weights.T
        maps = [_binary(scaled, targets[:, label], strength, own[label]) for label in range(outputs)]
        weight, bias = np.stack([one.weight for one in maps]), np.array([one.bias for one in maps])
    else:
        weight, bias = _multinomial(scaled, targets, outputs, strength, weights)
    weight = weight / scale
    return HeadValues(weight, bias - weight @ center)


def _binary(features: NDArray[Any], targets: NDArray[Any], strength: float, weights: NDArray[Any] | None) -> HeadValues:
    """w (width,) and a bias."""
    import numpy as np

    positive = float(targets.sum())
    if positive in (0.0, float(len(targets))):
        return HeadValues(np.zeros(features.shape[1]), np.log((positive + 0.5) / (len(targets) - positive + 0.5)))
    found = _regression(strength).fit(features, targets, sample_weight=weights)
    return HeadValues(found.coef_[0], found.intercept_[0])


def _multinomial(
    features: NDArray[Any], targets: NDArray[Any], outputs: int, strength: float, weights: NDArray[Any] | None
) -> HeadValues:
    import numpy as np

    present = np.unique(targets)
    weight, bias = np.zeros((outputs, features.shape[1])), np.zeros(outputs)
    if len(present) == 1:  # nothing to tell apart
        bias[present] = np.log(len(targets))
        return HeadValues(weight, bias)
    found = _regression(strength).fit(features, targets, sample_weight=weights)
    if len(present) == 2:
        weight[present] = np.outer([-0.5, 0.5], found.coef_[0])
        bias[present] = np.array([-0.5, 0.5]) * found.intercept_[0]
    else:
        weight[present], bias[present] = found.coef_, found.intercept_
    absent = np.setdiff1d(np.arange(outputs), present)
    bias[absent] = bias[present].min() - np.log(len(targets))
    return HeadValues(weight, bias)


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression  # slow to import

    return LogisticRegression(C=strength, max_iter=1000)


def held_out_logits(
    targets: NDArray[Any], folds: NDArray[Any], fit: Callable[[NDArray[Any]], HeadValues], features: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits of each held-out row, by the head that was fitted without it, and the positions of those rows."""
    import numpy as np

    logits, positions = [], []
    for fold in np.unique(folds[folds >= 0]):
        out = np.flatnonzero(folds == fold)
        if len(out) == len(targets):
            continue  # a single row: nothing is left to fit
        head = fit(np.flatnonzero(folds != fold))
        logits.append(features[out] @ head.weight.T + head.bias)
        positions.append(out)
    if not positions:
        return np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
    return np.concatenate(logits), np.concatenate(positions)


def closed_form_head(
    task: Task,
    features: NDArray[Any],
    targets: NDArray[Any],
    outputs: int,
    folds: int = 5,
    weights: NDArray[Any] | None = None,
) -> HeadValues:
    """The head whose C has the lowest out-of-fold loss, with its logits divided by the out-of-fold temperature.

    For numbers, the deviation from their mean is divided. If no row can be held out, C is the smallest value and the
    temperature is 1. Arguments of `fit_head`; folds: number of folds of the cross-validation.
    """
    import numpy as np

    features = features.astype(np.float64)
    dealt = dealt_folds(targets, folds)
    middle = float(targets.mean()) if task == "regression" else 0.0
    tried: list[tuple[float, float, float]] = []  # loss, C, temperature
    for strength in STRENGTHS:

        def fit(rows: NDArray[Any], strength: float = strength) -> HeadValues:
            own = None if weights is None else weights[rows]
            return fit_head(task, features[rows], targets[rows], outputs, strength, own)

        logits, out = held_out_logits(targets, dealt, fit, features)
        if len(out):
            known = targets[out] - middle if task == "regression" else targets[out]
            own = None if weights is None else weights[out]
            logits = logits - middle
            temperature = fitting_temperature(task, logits, known, own)
            tried.append((mean_loss(task, logits / temperature, known, own), strength, temperature))
    _, strength, temperature = min(tried, default=(0.0, STRENGTHS[0], 1.0))
    head = fit_head(task, features, targets, outputs, strength, weights)
    return softened(head, 1 / temperature, middle)


def softened(head: HeadValues, factor: float, middle: float = 0.0) -> HeadValues:
    """The head with outputs middle + factor · (outputs − middle)."""
    return HeadValues(head.weight * factor, middle + (head.bias - middle) * factor)


def _weights_of(class_weights: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """(rows,), or (rows, outputs) of several labels."""
    import numpy as np

    return class_weights[targets] if targets.ndim == 1 else np.where(targets > 0, class_weights[1], class_weights[0])


class HeadStart(Technique, ModelChanges):
    """Start the head as a linear model fitted to the frozen features instead of at random (LP-FT without epochs).

        W, b = scale / T · argmin  C Σ_i loss(W x_i + b, y_i) + ½ ‖W‖²        C, T: lowest out-of-fold loss

    x_i: input of the head's output map for training text i, without augmentation or dropout, before the first step. The
    fit is logistic regression (one per label for multi-label) or ridge regression, by scikit-learn, on features scaled
    to a mean variance of 1; C is one of 0.001, 0.01, 0.1, 1, chosen by stratified cross-validation over the training
    rows. Features with a standard deviation below 0.05 are scaled as if it were 0.05: weights in the hundreds would
    make training jump.

    A fit that is certain of its own rows leaves no gradient, so its logits are divided by the temperature T ≥ 1 at
    which out-of-fold logits have the lowest loss, where the target of the right class is (n + 1) / (n + 2); for numbers
    T divides the distance from their mean. A class with a single row is fitted and never held out. A head that the
    checkpoint has is replaced. No random number is drawn: batches and dropout masks are those of a run without this
    technique. Validation and test are not read; a refit also fits to validation, because it trains on it. All seeds
    start from the same head, which suits a soup of them (`finetune compare --final soup`).

    Range: scale: near 0 the head predicts the same for all texts, at 1 what the fit predicts. rows: a few per class are
    enough to start with; the fit takes seconds at 2,000 rows, and longer with many classes. folds: 3 to 10.
    Cost: one forward pass over the rows, a third of an epoch: 1.03 × at 10 epochs; and the fit.
    Raises: ModelError on an architecture whose logits come from no linear map with a bias.
    Relations: `head_first` would train the same head on the same features: mutually exclusive. `reinit` and `lora` act
    first: the features are those of the model that is trained. `training.class_weights` weight the fit; the losses of
    `label_smoothing`, `focal` and `training.sampling` do not change it. `max_norm` acts from the first step on.
    Evidence: in vision as good as fine-tuning on the same distribution and better on shifted ones (Kumar et al. 2022);
    on language models better than both parts alone (Tomihari & Sato 2024, abstract). A start that is too confident
    hurts: MiniLM, 300 rows, C = 10 and no temperature: 71.9 against 73.3 (mr), 70.7 against 73.8 (emotion), in our own
    measurement.
    Source: Kumar et al. 2022, arXiv:2202.10054; Tomihari & Sato 2024, arXiv:2405.16747; Platt 1999. Departs from it in:
    the head is fitted with a cross-validated C and softened, where the papers train it by gradient steps.
    """

    family: ClassVar[str] = "initialisation"
    source: ClassVar[str] = "Kumar et al. 2022, arXiv:2202.10054"
    cost: ClassVar[float] = 1.03
    excludes: ClassVar[dict[str, str]] = {
        "head_first": "both fit the head to the frozen encoder, one directly and one over epochs"
    }
    search: ClassVar[Mapping[str, SearchRange]] = {"scale": SearchRange(0.1, 1)}

    scale: float = Field(1.0, gt=0, le=1, description="Factor on the logits of the fitted head.")
    rows: int = Field(2000, ge=10, description="Maximum number of training rows that the head is fitted to.")
    folds: int = Field(5, ge=2, le=20, description="Folds of the cross-validation over the training rows.")

    def training_cost(self, budget: Budget) -> float:
        return 1 + 1 / (3 * budget.epochs)

    def warnings(self, budget: Budget) -> list[Problem]:
        if self.scale >= 0.01:
            return []
        why = f"with scale {self.scale:g} all texts get nearly the same prediction: the fit has hardly any effect."
        return [Problem(why, ".scale", found=self.scale)]

    def start_head(self, rows: TrainingRows) -> HeadValues:
        chosen: Sequence[int] = spread_rows(rows.targets, self.rows).tolist()
        targets = rows.targets[chosen]
        weights = None if rows.class_weights is None else _weights_of(rows.class_weights, targets)
        features = rows.features(chosen)
        head = closed_form_head(rows.task, features, targets, rows.outputs, self.folds, weights)
        return softened(head, self.scale, float(targets.mean()) if rows.task == "regression" else 0.0)
