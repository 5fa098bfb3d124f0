"""Settings of the process that the program makes, and no function that is called from Python."""

from finetune.allocation import tune_allocator
from finetune.quiet import quieten_libraries


def prepare_process() -> None:
    """Keep freed memory for reuse, and show only errors of other libraries."""
    tune_allocator()
    quieten_libraries()
