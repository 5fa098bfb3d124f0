"""All checks of a data set and its baselines, computed once for all runs on it."""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from finetune.cache import cached_file
from finetune.checks.adversarial import check_adversarial
from finetune.checks.base import LocatedFinding, keys_by_split
from finetune.checks.baselines import measure_baselines
from finetune.checks.classes import check_classes, check_majority, check_rare_labels
from finetune.checks.conflicts import check_conflicts
from finetune.checks.copies import check_copies
from finetune.checks.groups import check_groups
from finetune.checks.label_errors import check_label_errors
from finetune.checks.label_variants import check_label_variants
from finetune.checks.language import check_language
from finetune.checks.resolution import check_resolution
from finetune.checks.shift import check_label_shift, check_length_shift
from finetune.checks.truncation import check_truncation
from finetune.data.rows import Data
from finetune.data.tokens import Encoder
from finetune.recipe import DataSection
from finetune.records.schema import Baseline, Finding

LEVELS = ("problem", "warning", "info")
PACKAGE = Path(__file__).parent.parent
# What decides the findings beside the data: our code (everything beside this file, and what that imports; a test holds
# the list), and the libraries that compute them.
CODE = (
    "data/duplicates.py",
    "data/equal_cells.py",
    "data/flags.py",
    "data/folds.py",
    "data/groups.py",
    "data/label_cells.py",
    "data/labels.py",
    "data/long_texts.py",
    "data/numbers.py",
    "data/rows.py",
    "data/spellings.py",
    "data/strata.py",
    "data/table.py",
    "data/token_cache.py",
    "data/tokens.py",
    "data/votes.py",
    "errors.py",
    "measurement/beyond_chance.py",
    "measurement/gap.py",
    "measurement/scores.py",
    "measurement/shift.py",
    "measurement/units.py",
    "tasks.py",
)
LIBRARIES = ("cleanlab", "datasketch", "numpy", "py3langid", "scikit-learn", "scipy", "tokenizers")


class Inspection(BaseModel):
    """Results of the data checks.

    Attributes:
        findings: Problems first, then warnings, then information.
        baselines: Majority class (or mean) and TF-IDF, measured on train sample, validation and test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: list[LocatedFinding]
    baselines: list[Baseline]


def inspect_data(data: Data, section: DataSection, encoder: Encoder | None) -> Inspection:
    """Run every check and measure the baselines, or read the results of the same data from the cache.

    Args:
        data: As `load_data` returned it.
        section: The data section of the recipe, for its settings of long texts.
        encoder: Tokenizer and length of the model; None leaves out the checks of tokens.
    """

    def make(path: Path) -> None:
        path.write_text(_inspect(data, section, encoder).model_dump_json(), encoding="utf-8")

    if encoder is not None and encoder.identity is None:  # nothing distinguishes this tokenizer from another
        return _inspect(data, section, encoder)
    key = _key(data, section, encoder)
    try:
        path = cached_file("checks", key, ".json", make)
        try:
            return _read(path)
        except ValueError:  # cut short by a crash of the machine
            path.unlink(missing_ok=True)  # another process may have done so
            return _read(cached_file("checks", key, ".json", make))
    except OSError:  # a cache that cannot be read or written costs time, no more
        return _inspect(data, section, encoder)


def _read(path: Path) -> Inspection:
    """
    Raises:
        ValueError: The file is damaged.
    """
    return Inspection.model_validate_json(path.read_text(encoding="utf-8"))


def _inspect(data: Data, section: DataSection, encoder: Encoder | None) -> Inspection:
    from threadpoolctl import threadpool_limits

    # One thread: these fits are small, and waiting BLAS threads of several processes took ten times the time.
    with threadpool_limits(1), warnings.catch_warnings():
        # Of scikit-learn and scipy: about fits stopped early and constant inputs, which no finding depends on.
        warnings.simplefilter("ignore")
        keys = keys_by_split(data)
        findings: list[Finding] = [
            *check_copies(data, keys),
            *check_conflicts(data, keys),
            *check_groups(data),
            *check_label_variants(data, section),
            *check_classes(data),
            *check_rare_labels(data),
            *check_majority(data),
            *check_label_shift(data),
            *check_length_shift(data),
            *check_adversarial(data),
            *check_resolution(data),
            *check_label_errors(data),
        ]
        if encoder is not None:
            findings += [*check_truncation(data, section, encoder), *check_language(data, encoder)]
        findings.sort(key=lambda finding: LEVELS.index(finding.level))
        return Inspection(findings=list(map(LocatedFinding.of, findings)), baselines=measure_baselines(data))


def _key(data: Data, section: DataSection, encoder: Encoder | None) -> str:
    """sha256 over everything that decides the findings."""
    digest = hashlib.sha256()
    splits = {name: [part.ids, part.names, part.groups] for name, part in data.whole_splits().items()}
    of_tokens = None if encoder is None else _describe(encoder, section)
    of_labels = [data.task, data.labels, section.label_map, section.drop_labels]
    digest.update(
        json.dumps([data.fingerprint, of_labels, data.probe, data.tables, splits, of_tokens, _versions()]).encode()
    )
    for path in sorted([*Path(__file__).parent.glob("*.py"), *(PACKAGE / name for name in CODE)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _describe(encoder: Encoder, section: DataSection) -> list[Any]:
    return [encoder.identity, encoder.limit, encoder.max_length, section.long_texts]


@cache
def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # cleanlab is optional
            versions[name] = None
    return versions
