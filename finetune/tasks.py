"""What a model can be trained to predict."""

from typing import Literal

Task = Literal["single_label", "multi_label", "regression"]
