"""Changes of the model: before it is built, after it is loaded, and when training is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class ModelChanges:
    """Each hook is called once per run, and once more for a model without weights when a run is checked."""

    def configure_model(self, config: Any) -> None:
        """Change the configuration before the model is built. `config` is a `transformers.PretrainedConfig`.

        Raises:
            ModelError: The architecture does not have what is asked for.
        """

    def prepare_model(self, model: nn.Module) -> None:
        """Change the loaded model in place, and verify that the change took effect.

        Also called for a model without weights (torch's meta device) when a run is only checked. Randomness comes
        from torch's global generator, which is seeded. Forward hooks must act in training mode only.

        Raises:
            ModelError: The change did not take effect.
        """

    def finish_model(self, model: nn.Module) -> None:
        """Undo, in place, what plain transformers could not load, and keep what was learned."""
