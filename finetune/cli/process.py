"""What this program, and none of the library's functions, does to its own process."""

from finetune.allocation import tune_allocator
from finetune.quiet import quieten_libraries


def prepare_process() -> None:
    """Memory stays with the process, and other libraries speak up only when something is wrong."""
    tune_allocator()
    quieten_libraries()
