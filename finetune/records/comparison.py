"""The manifest of a comparison, version 1: which runs belong together, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from finetune.errors import OutputError
from finetune.records.store import RunFolder, write_atomically

MANIFEST_VERSION = 1
MANIFEST = "comparison.json"
Kind = Literal["compare", "ablate", "curve"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantEntry(_Frozen):
    """One row of the table: a preset, a preset with a part taken out, or a preset at one size of the data."""

    name: str
    baseline: str | None = Field(description="The variant it is compared with; None for a baseline.")
    technique: str | None = Field(None, description="Ablation: the technique that was taken out or added alone.")
    techniques: dict[str, Any] = Field(description="Technique -> settings.")
    preset: str | None = Field(None, description="Curve: the preset that it is at one size.")
    size: int | None = Field(None, description="Curve: training rows.")


class CellEntry(_Frozen):
    """One run of the matrix."""

    variant: str
    seed: int
    fold: int | None
    key: str = Field(description="sha256 over recipe, preset, seed, data, model and code: what decides its figures.")
    folder: str = Field(description="Below the comparison's folder.")
    error: str | None = Field(None, description="Why it ended without a record of its own.")


class Manifest(_Frozen):
    """What `finetune compare`, `ablate` or `curve` was asked for."""

    manifest_version: int = MANIFEST_VERSION
    kind: Kind
    command: str = Field(description="What makes it again.")
    baseline: str
    variants: list[VariantEntry]
    seeds: list[int]
    folds: int | None
    cells: list[CellEntry]
    refit: str | None = Field(None, description="Folder of the refit, below the comparison's.")
    shipped: str | None = Field(None, description="Folder of the run whose model lies in model/, below this one.")


class ComparisonFolder:
    """Paths inside the folder of a comparison.

    comparison.json   the manifest
    cells/            one run folder a cell, named by preset, seed, fold and key
    texts.json        the rows that scores are reported on, to show where presets disagree
    report.*          what is read (of a curve: curve.*)
    refits/           runs of the recommended preset on train and validation
    model/            the recommended model
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path / MANIFEST
        self.texts = path / "texts.json"
        self.model = path / "model"

    def cell(self, entry: CellEntry) -> RunFolder:
        return RunFolder(self.path / entry.folder)

    def refit(self, manifest: Manifest) -> RunFolder | None:
        return None if manifest.refit is None else RunFolder(self.path / manifest.refit)

    def exists(self) -> bool:
        return self.manifest_path.is_file()

    def write(self, manifest: Manifest) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.manifest_path, manifest.model_dump_json(indent=2) + "\n")

    def read(self) -> Manifest:
        """Read the manifest.

        Raises:
            OutputError: It is damaged, or of a version that this program does not read.
        """
        path = self.manifest_path
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            version = content.get("manifest_version")
            if version != MANIFEST_VERSION:
                raise OutputError(f"{path}: manifest version {version}; this program reads {MANIFEST_VERSION}.")
            return Manifest.model_validate(content)
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise OutputError(
                f"{path}: is no readable manifest: {str(error).splitlines()[0]}. Delete it and type the "
                "command again: finished cells are kept."
            ) from error
