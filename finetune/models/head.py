"""Initial outputs of a classifier: rows from the head of the checkpoint, or new ones.

A checkpoint that was fine-tuned before has a head. transformers keeps it wherever the number of classes fits, whatever
the classes are. Here a row is kept for the class that it was trained for: `id2label` of the checkpoint says which.
transformers writes names such as LABEL_0 if the classes were not named: they contain the number of a class and nothing
else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from finetune.errors import Change, ModelError, Problem, shorten
from finetune.kernels.head import output_map
from finetune.recipe import ModelSection

_KEY = "model.head"
_NUMBERED = "label_"  # of names that nobody gave
_SHOWN = 12  # names of a list
_KINDS = {
    "single_label_classification": "one class of each text",
    "multi_label_classification": "any number of labels of each text",
    "regression": "a number",
}
_KEEP = Change(settings={_KEY: "kept"}, note="if its outputs mean the same, in this order")
_NEW = Change(settings={_KEY: "new"}, note="if they do not")


@dataclass(frozen=True)
class HeadStart:
    """Start of the outputs.

    Attributes:
        rows: For each output the row of the checkpoint's last linear map; None: all are drawn anew, by the seed.
        reason: Why; empty if the checkpoint has no head.
        warnings: Losses and assumptions.
    """

    rows: tuple[int, ...] | None
    reason: str = ""
    warnings: tuple[Problem, ...] = ()

    @property
    def kind(self) -> str:
        """new, kept or reordered."""
        if self.rows is None:
            return "new"
        return "kept" if self.rows == tuple(range(len(self.rows))) else "reordered"

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"

    @property
    def notes(self) -> list[str]:
        """Notes; empty if there was no choice, or if a warning says it."""
        return [] if not self.reason or self.warnings else [f"{_KEY}: {self}"]


def is_classifier(checkpoint: Any) -> bool:
    """Whether a saved configuration is that of a sequence classifier."""
    return any(name.endswith("ForSequenceClassification") for name in checkpoint.architectures or ())


def head_names(model: Any) -> frozenset[str]:
    """Names of the parameters that are not the encoder's."""
    prefix = f"{model.base_model_prefix}."
    return frozenset(name for name, _ in model.named_parameters() if not name.startswith(prefix))


def resolve_head(
    section: ModelSection, checkpoint: Any, problem_type: str, names: Sequence[str], reads_anew: bool
) -> HeadStart:
    """Decide how the outputs start.

    Args:
        section: The model section of the recipe.
        checkpoint: Its saved configuration.
        problem_type: Problem type of transformers.
        names: Names of the outputs, in order.
        reads_anew: Whether the head reads another pooling than the one that it was trained with.

    Raises:
        ModelError: `model.head` keeps a head that is missing or does not fit.
    """
    if not is_classifier(checkpoint):
        if section.head == "kept":
            raise _not_kept("the checkpoint has no head of a classifier")
        return HeadStart(None)
    if section.head == "new":
        return HeadStart(None, "as set")
    old = [str(checkpoint.id2label[index]) for index in sorted(checkpoint.id2label)]
    obstacle = _obstacle(checkpoint, problem_type, old, names, reads_anew)
    if obstacle is not None:
        if section.head == "kept":
            raise _not_kept(obstacle)
        return HeadStart(None, obstacle, (_started_anew(section, obstacle),))
    rows = None if problem_type == "regression" else _matched(old, names)
    if section.head == "kept":
        return HeadStart(rows or tuple(range(len(names))), "as set")
    if problem_type == "regression":
        return HeadStart((0,), f"the checkpoint predicts a number, assumed to be the same one ({_typed(_NEW)})")
    return _by_name(section, old, names, rows)


def start_outputs(model: Any, start: HeadStart, drawn: Collection[str], seed: int) -> None:
    """Reorder the rows of the head's last linear map, or draw them anew, in place.

    Args:
        model: A sequence classifier, as loaded.
        start: From `resolve_head`.
        drawn: Names of parameters that loading has already drawn anew.
        seed: Seed of the run.

    Raises:
        ModelError: The head does not end in a linear map.
    """
    if start.kind == "kept":
        return
    output = output_map(model)
    if output is None:
        if head_names(model) <= set(drawn):
            return
        why = f"the head of architecture '{model.config.model_type}' does not end in a linear map, and cannot be {{}}."
        keep = Change(settings={_KEY: "kept"}, note="its outputs keep their order")
        raise ModelError(why.format("reordered" if start.rows else "started anew"), keep, key=_KEY, found=start.kind)
    if start.rows is not None:
        rows = torch.tensor(start.rows)
        with torch.no_grad():
            for parameter in output.parameters():
                parameter.copy_(parameter[rows].clone())
        return
    names = {name for name, value in model.named_parameters() if any(value is own for own in output.parameters())}
    if names <= set(drawn):
        return
    marked: list[Any] = [output, *output.parameters()]
    for part in marked:  # transformers passes over what it has marked as loaded
        part._is_hf_initialized = False
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model._init_weights(output)


def _obstacle(
    checkpoint: Any, problem_type: str, old: Sequence[str], names: Sequence[str], reads_anew: bool
) -> str | None:
    """Why no row can be kept, as a clause; None if rows can be kept."""
    trained = checkpoint.problem_type or ("regression" if len(old) == 1 else "single_label_classification")
    if trained != problem_type:
        return f"the checkpoint predicts {_KINDS.get(trained, trained)}, and this run {_KINDS[problem_type]}"
    if len(old) != len(names):
        return f"the checkpoint has {len(old)} outputs ({_list(old)}), and this run {len(names)} ({_list(names)})"
    return "it reads another pooling than it was trained with" if reads_anew else None


def _by_name(
    section: ModelSection, old: Sequence[str], names: Sequence[str], rows: tuple[int, ...] | None
) -> HeadStart:
    numbered = all(name.casefold().startswith(_NUMBERED) for name in old)
    if rows is None:
        unlike = f"the classes of the checkpoint are {_list(old)}, those of this run {_list(names)}"
        if numbered:
            unlike += "; the former are numbers, which do not say what the classes are, so they are taken for others"
        return HeadStart(None, unlike, (_started_anew(section, unlike, _KEEP),))
    if list(old) == list(names):
        return HeadStart(rows, "the checkpoint has the same classes in the same order")
    start = HeadStart(rows, f"the classes of the checkpoint are {_list(old)}, those of this run {_list(names)}")
    if not numbered:
        return start
    why = f"{start.reason}; LABEL_n is taken to be class n, and its part of the head is kept."
    return HeadStart(rows, start.reason, (Problem(why, _KEY, found=section.head, changes=(_NEW,)),))


def _matched(old: Sequence[str], names: Sequence[str]) -> tuple[int, ...] | None:
    """For each name, the position of the same name in `old`; None if one is missing. Case and LABEL_ before a number
    are ignored if the names stay distinct.
    """
    for alike in (str, _alike):
        known = {alike(name): position for position, name in enumerate(old)}
        wanted = [alike(name) for name in names]
        if len(known) == len(old) and len(set(wanted)) == len(wanted) and set(wanted) == set(known):
            return tuple(known[name] for name in wanted)
    return None


def _alike(name: str) -> str:
    return " ".join(name.casefold().split()).removeprefix(_NUMBERED)


def _started_anew(section: ModelSection, why: str, *changes: Change) -> Problem:
    text = f"the head of '{section.id}' does not fit: {why}. A new one is trained, which each seed draws on its own."
    return Problem(text, _KEY, found=section.head, changes=changes)


def _not_kept(why: str) -> ModelError:
    return ModelError(f"cannot keep it: {why}.", Change(settings={_KEY: "auto"}), key=_KEY, found="kept")


def _list(names: Sequence[str]) -> str:
    return shorten(list(names), _SHOWN)


def _typed(change: Change) -> str:
    return ", ".join(f"{key}={value}" for key, value in change.settings.items()) + " if not"
