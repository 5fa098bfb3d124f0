"""The base class of techniques: frozen settings. What a technique does is in the hooks of `finetune.techniques.hooks`.

A technique never stores state: what a run needs to remember is kept by the run (`StepView`, the selection rule).
Hooks act in training only; evaluation always uses the clean model, clean text and the plain loss.
No module of this package imports torch at its top, so that `finetune ls` and `validate` answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from finetune.techniques.hooks.description import Description
from finetune.techniques.search import SearchRange


class Technique(BaseModel, Description):
    """Base of all techniques. Fields of a subclass are its YAML keys, with bounds and a description each."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    family: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[float] = 1.0  # training time with the default settings, as a multiple of plain fine-tuning
    owns: ClassVar[frozenset[str]] = frozenset()  # what only one technique of a run may control
    excludes: ClassVar[Mapping[str, str]] = {}  # name of another technique -> why it could not act together with this
    search: ClassVar[Mapping[str, SearchRange]] = {}  # strength -> where `finetune tune` looks for it
    unlabelled: ClassVar[Literal["ignored", "read", "needed"]] = "ignored"  # what it does with data.unlabelled
