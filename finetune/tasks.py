"""The tasks that a model can be trained for."""

from typing import Literal

Task = Literal["single_label", "multi_label", "regression"]
