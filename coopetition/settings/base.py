"""What every class of settings shares: frozen, checked when made, errors of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import pydantic

from ..errors import unknown_name

SettingsType = TypeVar("SettingsType", bound="Settings")


def no_truth_value(value: Any) -> Any:
    """The value, unless it is true or false, which Python would take for 1 or 0."""
    if isinstance(value, bool):
        raise ValueError("write a number, not true or false")
    return value


NUMBER = pydantic.BeforeValidator(no_truth_value)
Count = Annotated[int, NUMBER, pydantic.Field(ge=0)]
Positive = Annotated[int, NUMBER, pydantic.Field(ge=1)]
NonNegative = Annotated[float, NUMBER, pydantic.Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, NUMBER, pydantic.Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, NUMBER, pydantic.Field(ge=0, le=1, allow_inf_nan=False)]


def one_line(error: pydantic.ValidationError, kind: str) -> str:
    """The first failure of a validation as ``path = value: what is wrong``."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], Mapping | pydantic.BaseModel):  # the part's own message has paths
        return f"{path}.{message}" if path and " = " in message else message
    return f"{path or kind} = {first['input']!r}: {message}"


class Settings(pydantic.BaseModel):
    """Frozen settings whose errors are one line naming the setting, its value and the remedy."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise ValueError(one_line(error, type(self).__name__)) from None

    @pydantic.model_validator(mode="before")
    @classmethod
    def refuse_unknown_names(cls, values: Any) -> Any:
        """Raise for a name that is no field, with the nearest that is."""
        for name in values if isinstance(values, Mapping) else ():
            if name not in cls.model_fields:
                kind = cls.__name__.removesuffix("Settings").lower()
                raise unknown_name(f"{kind} setting", str(name), cls.model_fields)
        return values

    def replace(self: SettingsType, **changes: Any) -> SettingsType:
        """A validated copy with other values."""
        present = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**present, **changes})
