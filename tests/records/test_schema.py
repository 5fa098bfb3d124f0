"""run.json stays what it was, key for key, whatever the types in Python are called."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from finetune.errors import OutputError
from finetune.records.facts import Device, RunBudget, RunTime
from finetune.records.profile import RunProfile
from finetune.records.schema import FinishedRecord, RunRecord
from finetune.records.store import RunFolder, read_record

SAMPLE = Path(__file__).parent / "run.json"  # what a run on a CPU wrote before its parts had types
Content = dict[str, Any]


def sample() -> Content:
    content: Content = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return content


def on_a_gpu(run: Content) -> None:
    run["device"] = {"kind": "cuda", "cpu_threads": 16, "name": "NVIDIA H200", "count": 8}
    run["budget"] |= {"processes": 8, "precision": "bf16", "cost": 1.5}
    run["model"]["kernels"] = ["fp32_logits"]


def resumed(run: Content) -> None:
    started = run["time"].pop("started")
    run["time"] = {"started": started, "resumed": 2, **run["time"]}


def resumed_after_training(run: Content) -> None:
    resumed(run)
    del run["time"]["first_step"]


def refitted(run: Content) -> None:
    del run["data"]["classes"]["train_probe"], run["data"]["rows"]["train_probe"]
    run["budget"]["steps_done"] = 24
    run["selected"]["share"] = 0.5


def with_own_techniques(run: Content) -> None:
    run["code"]["techniques"] = {"last": "c2e703da"}


def installed_from_a_wheel(run: Content) -> None:
    run["code"] = {"version": "0.1.0", "commit": None, "changed": None}


def profiled(run: Content) -> None:
    run["time"]["phases"] |= {"start": 2.5, "profiling": 0.25, "other": 0.0}


def without_kernels(run: Content) -> None:
    run["model"]["kernels"] = []


def just_begun(run: Content) -> None:
    run |= {"status": "running", "history": [], "selected": None, "last": None, "calibration": None, "weights": {}}
    del run["budget"]["steps_done"], run["time"]["training_seconds"], run["time"]["first_step"], run["model"]["kernels"]


def interrupted(run: Content) -> None:
    run |= {"status": "interrupted", "error": "KeyboardInterrupt", "selected": None, "last": None}
    del run["budget"]["steps_done"], run["time"]["training_seconds"], run["time"]["first_step"]


def of_version_0_1(run: Content) -> None:
    """Before phases, kernels and the user's own techniques were recorded."""
    run["time"] = {name: run["time"][name] for name in ("started", "seconds", "training_seconds")}
    del run["model"]["trainable"], run["model"]["kernels"]


def with_keys_that_nobody_knows(run: Content) -> None:
    run["device"]["memory"] = 141
    run["budget"]["energy"] = {"joule": 3}


SHAPES = [
    on_a_gpu,
    resumed,
    resumed_after_training,
    refitted,
    with_own_techniques,
    installed_from_a_wheel,
    profiled,
    without_kernels,
    just_begun,
    interrupted,
    of_version_0_1,
    with_keys_that_nobody_knows,
]


@pytest.mark.parametrize("change", SHAPES, ids=lambda change: change.__name__)
def test_what_is_read_is_written_byte_for_byte(tmp_path: Path, change: Callable[[Content], None]) -> None:
    run = sample()
    change(run)
    before = to_json(run, indent=2) + b"\n"
    folder = RunFolder(tmp_path)
    folder.record_path.write_bytes(before)
    record = folder.read()
    assert record is not None
    assert isinstance(record, FinishedRecord) == (run["status"] == "finished")
    folder.write(record)
    assert without_checksum(folder.record_path) == before
    assert json.loads(record.model_dump_json()) == record.model_dump(mode="json") == run


def test_the_sample_itself_is_written_byte_for_byte(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write(read_record(SAMPLE))
    assert without_checksum(folder.record_path) == SAMPLE.read_bytes()


def without_checksum(path: Path) -> bytes:
    """What was written, without its last entry."""
    content, comma, last = path.read_bytes().rpartition(b",\n")
    assert last.startswith(b'  "checksum": "sha256:')
    assert comma
    return content + b"\n}\n"


def test_no_changed_bit_of_a_record_is_read_as_another_value(tmp_path: Path) -> None:
    folder, random = RunFolder(tmp_path), Random(0)
    record = read_record(SAMPLE)
    folder.write(record)
    written = folder.record_path.read_bytes()
    for _ in range(300):
        damaged = bytearray(written)
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        folder.record_path.write_bytes(damaged)
        with contextlib.suppress(OutputError):
            assert read_record(folder.record_path) == record, "white space alone may differ"


def test_an_edited_record_says_what_to_do(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write(read_record(SAMPLE))
    text = folder.record_path.read_text(encoding="utf-8")
    folder.record_path.write_text(text.replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    with pytest.raises(OutputError, match=r"does not match its checksum: damaged, or edited \(then remove its"):
        folder.read()


def test_the_profile_keeps_the_time_of_the_record() -> None:
    time = sample()["time"]
    profile = {
        "profile_version": 1,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "time": time,
        "training": None,
        "evaluation": None,
        "padding": {"present": 0.5, "grouped": 0.25},
    }
    assert to_json(profile, indent=2).decode() == RunProfile.model_validate(profile).model_dump_json(indent=2)


def test_absent_keys_stay_absent_until_they_are_known() -> None:
    time = RunTime(started="now")
    assert time.model_dump() == {"started": "now"}
    later = time.model_copy(update={"seconds": 2.0, "resumed": 1})
    assert list(later.model_dump()) == ["started", "resumed", "seconds"]
    assert (time.resumed, later.resumed, later.first_step) == (0, 1, None)
    assert "count" not in Device(kind="cpu", cpu_threads=1, name="x", bf16=False).model_dump()


def test_numbers_stay_whole_or_not() -> None:
    def cost(value: float) -> str:
        return RunBudget(
            steps=1, steps_per_epoch=1, warmup_steps=0, processes=1, precision="fp32", cost=value
        ).model_dump_json()

    assert cost(1).endswith('"cost":1}')
    assert cost(1.0).endswith('"cost":1.0}')


def test_finishing_a_record_changes_its_type_and_nothing_else() -> None:
    run = copy.deepcopy(sample())
    unfinished = RunRecord.model_validate({**run, "status": "running", "error": "x"})
    finished = unfinished.finish(error=None)
    assert isinstance(finished, FinishedRecord)
    assert finished.model_dump(mode="json") == run
    assert finished == read_record(SAMPLE)


@pytest.mark.parametrize("missing", ["selected", "last"])
def test_a_run_that_says_it_is_finished_has_both_checkpoints(tmp_path: Path, missing: str) -> None:
    run = sample() | {missing: None}
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(OutputError, match=r"not a readable run record"):
        read_record(path)
    with pytest.raises(ValidationError):
        RunRecord.model_validate({**run, "status": "running"}).finish()
