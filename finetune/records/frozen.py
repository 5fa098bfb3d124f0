"""The base class of all records, and the reason why a file does not hold one."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from finetune.errors import first_line


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sparse(Frozen):
    """Has no key for some fields that are None, as in records of versions that did not have these fields.

    Attributes:
        ABSENT: Names of these fields.
    """

    ABSENT: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name not in self.ABSENT or value is not None}


def what_is_wrong(error: Exception) -> str:
    """One line without its full stop; of values that do not fit, the first with its place in the file."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else message
