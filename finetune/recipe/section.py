"""The base class of all parts of a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Strict: an unknown key or a value of the wrong kind is an error, never a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
