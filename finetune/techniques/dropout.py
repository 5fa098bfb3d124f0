"""Dropout override: hidden, attention and classifier dropout under the same names for every architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, ModelError
from finetune.models.dropout import (
    apply_dropout,
    apply_module_dropout,
    dropout_sites,
    known_architectures,
    supported_kinds,
)
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.outcome import Outcome
from finetune.techniques.search import SearchRange, linear

if TYPE_CHECKING:
    from torch import nn


class Dropout(Technique, ModelChanges):
    """Set the dropout of the model for training.

        h ← h ⊙ m / (1 − p),   m ~ Bernoulli(1 − p)

    Each architecture names these differently and transformers ignores names it does not know, so the settings are
    mapped per architecture and verified on the loaded model, module by module. A dropout that is not set keeps the
    checkpoint's value; 0 turns a dropout off.

    Range: 0 turns a dropout off; near 1 hardly anything passes. BERT's own is 0.1; 0.3 in the head and 0.2 hidden are
    strong for a thousand texts.
    Cost: ×1.0; the masks are drawn anyway, unless the checkpoint has none.
    Raises: ModelError if the architecture lacks a site that is set, or the loaded model ignores it.
    Relations: `r_drop` and `multi_sample_dropout` depend on dropout; more dropout makes them stronger.
    Evidence: no clean published curve for BERT; dropout off with tiny hidden noise beat dropout 0.1 by 1.6 points on
    BERT-large (Yuan et al. 2023), as a pair.
    Source: Srivastava et al. 2014, JMLR 15(56). Departs from it in: nothing.
    """

    family: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Srivastava et al. 2014, JMLR 15(56)"
    owns: ClassVar[frozenset[str]] = frozenset({"the dropout of the model"})
    search: ClassVar[Mapping[str, SearchRange]] = {
        "hidden": linear(0, 0.4),
        "attention": linear(0, 0.4),
        "classifier": linear(0, 0.6),
    }

    hidden: float | None = Field(None, ge=0, lt=1, description="After embeddings, attention and feed-forward blocks.")
    attention: float | None = Field(None, ge=0, lt=1, description="On the attention weights.")
    classifier: float | None = Field(None, ge=0, lt=1, description="In the classification head.")

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if not self._kinds_set():
            raise ValueError("set at least one of hidden, attention, classifier (for example classifier: 0.3)")
        return self

    def _kinds_set(self) -> dict[str, float]:
        """Kind -> probability, only what is set."""
        return {kind: value for kind, value in self.model_dump().items() if value is not None}

    def outcome(self, run: Outcome) -> str | None:
        return ", ".join(
            _change_text(kind, *run.dropout.get(kind, (None, value))) for kind, value in self._kinds_set().items()
        )

    def configure_model(self, config: Any) -> None:
        supported = supported_kinds(config.model_type)
        if not supported:
            raise ModelError(
                f"the names of the dropout settings of architecture '{config.model_type}' are not known. Known: "
                f"{', '.join(known_architectures())}.",
                turned_off("dropout"),
                key="techniques.dropout",
            )
        missing = set(self._kinds_set()) - supported
        if missing:
            kind = sorted(missing)[0]
            raise ModelError(
                f"architecture '{config.model_type}' has no such dropout; it has {', '.join(sorted(supported))}.",
                Change(settings={f"techniques.dropout.{kind}": None}),
                key=f"techniques.dropout.{kind}",
            )
        apply_dropout(config, self._kinds_set())

    def prepare_model(self, model: nn.Module) -> None:
        apply_module_dropout(model, self._kinds_set())
        for kind, probability in self._kinds_set().items():
            sites = [site for site in dropout_sites(model) if site.kind == kind]
            different = [site for site in sites if site.probability != probability]
            if not sites or different:
                found = ", ".join(f"{site.path} = {site.probability:g}" for site in different) or "no such module"
                why = f"{probability:g} was set, but the loaded model has {found}."
                raise ModelError(why, key=f"techniques.dropout.{kind}", found=probability)


def _change_text(kind: str, before: float | None, after: float) -> str:
    """`hidden 0.1 → 0.2`; without an arrow where nothing changed, or where it is not known what was before."""
    if before is None:
        return f"{kind} {after:g}"
    return f"{kind} {after:g} as before" if before == after else f"{kind} {before:g} → {after:g}"
