"""What keeps many tiny runs short."""

import gc
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def short_runs() -> Iterator[None]:
    """One thread: tiny models gain nothing from more, and on a busy machine threads wait for each other.

    Frozen imports: every run collects garbage once (accelerate), and half of its time went into walking through
    the modules of torch and transformers.
    """
    import finetune.training.runner  # noqa: F401 - what is to be frozen

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
