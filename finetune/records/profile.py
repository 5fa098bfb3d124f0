"""profile.json, version 1: how a profiled run spent its time."""

from pydantic import Field

from finetune.records.facts import RunTime
from finetune.records.frozen import Frozen

PROFILE_VERSION = 1


class Products(Frozen):
    """The matrix products of a step or batch, computed again on their own: a lower bound of its time."""

    multiply_adds: float = Field(description="Of one step or batch.")
    milliseconds: float = Field(
        description="Time for those of one step or batch, on this machine, right after the run."
    )


class Watched(Frozen):
    """Training steps or evaluation batches under a profiler, which slows them down."""

    precision: str = Field(description="Precision of matrix products: bf16 or fp32.")
    first: int = Field(description="Number of the first one, from 1; steps count within this segment of the run.")
    count: int
    milliseconds: float = Field(description="Wall time of one step or batch.")
    groups: dict[str, float] = Field(
        description="Kind of operation -> milliseconds of one step or batch, longest first; on a GPU, time on the GPU."
    )
    between: float = Field(description="Milliseconds in none of them: Python, or on a GPU, waiting for Python.")
    products: Products


class Padding(Frozen):
    """Fraction of the tokens of training batches that only fill up shorter texts, in the first epoch, in [0, 1]."""

    present: float
    grouped: float = Field(description="With training.group_by_length.")


class RunProfile(Frozen):
    """How one run spent its time: phases in `time`, as in run.json, and operations of a few steps."""

    profile_version: int = PROFILE_VERSION
    seed: int
    threads: int = Field(description="CPU threads.")
    device: str = Field(description="cpu or cuda.")
    time: RunTime = Field(description="As in the run record.")
    training: Watched | None = Field(description="None where the run was resumed after its last step.")
    evaluation: Watched | None
    padding: Padding
