"""What settings share, and what a field of them may declare beside its type and default.

Classes of settings are frozen, checked when made, and have errors of one line. A field made by
`setting` says what logs, maps, proposals, ensembles and resumed runs ask of it; they read it from
`coopetition.settings.training.SETTINGS`, so that a setting is declared in one place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

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


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where the reference's ``config.json`` has a setting, and how its value becomes ours."""

    name: str
    convert: Callable[[Any], Any]
    null: Any = None  # what null stands for; None where it says nothing


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a setting needs in order to have an effect: in words, and of `TrainingSettings`."""

    words: str
    met: Callable[[Any], bool]


def one_of(path: str, *values: str) -> Needs:
    """Another setting that has one of some values."""
    return Needs(f"{path} = {' or '.join(values)}", lambda s: value_at(s, path) in values)


def above_0(path: str) -> Needs:
    """Another setting that is positive."""
    return Needs(f"{path} > 0", lambda s: value_at(s, path) > 0)


@dataclasses.dataclass(frozen=True)
class Doublings:
    """log2(value / base): how often the base's value is doubled."""

    base: float

    def __call__(self, value: float) -> float:
        return math.log2(value / self.base)


@dataclasses.dataclass(frozen=True)
class InMaps:
    """How a settings map uses a number: as a covariate, 0 at the base, the paper's 2-layer run."""

    covariate: str  # its name
    meaning: str  # what one unit of it is, in words
    transform: Callable[[float], float]  # from the setting to the covariate
    _: dataclasses.KW_ONLY
    reach: float  # how far one unit can move a theory's parameter, in its `setting_spread`
    unknown: float = 0.0  # standard deviation where settings do not say it; 0: 0 may be assumed
    # whether settings that do not say it have the base's value for certain, because whatever could
    # vary it says so: the covariate is then 0, not unknown
    assumed: bool = False
    # expected effects that have a direction, by parameter: mean and standard deviation of the
    # change of its logarithm by one unit
    effects: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Movable:
    """How a proposal may move a number."""

    lower: float | None = None  # left out on a logarithmic scale: a factor around the base's value
    upper: float | None = None
    log: bool = False  # whether equal ratios count as equal moves, not equal differences
    unit: float = 1.0  # the way that costs its price: doublings on a logarithmic scale
    # of what a whole number is a multiple, from the base's settings by short name
    multiple: Callable[[Mapping[str, Any]], int] | None = None
    usual: int | None = None  # place among those that move where none is named; None: not there


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting, and all that the rest of the package asks of it."""

    path: str  # its section and name, as in a settings file
    field: pydantic.fields.FieldInfo  # its type, limits and default
    short: str | None = None  # its name in logs, maps and proposals; None: they do not know it
    reference: Reference | None = None
    # whether members of one ensemble may differ in it or must have the same; None: they may where
    # shapes stay, but sweeps train such runs apart
    members: Literal["differ", "same"] | None = None
    changeable: bool = False  # by a run that is continued: nothing computed so far depends on it
    within_run: bool = False  # counts of sequences, without effect beyond the run's end
    needs: Needs | None = None
    maps: tuple[InMaps, ...] = ()  # the covariates that it makes alone
    move: Movable | None = None

    @property
    def section(self) -> str:
        """The section that it stands in."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """Its name in the section."""
        return self.path.rpartition(".")[2]

    @property
    def default(self) -> Any:
        """Its default."""
        return self.field.get_default(call_default_factory=True)

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.field.annotation is int

    @functools.cached_property
    def largest(self) -> float:
        """The largest value that it may have."""
        return self._limit("le", math.inf)

    @functools.cached_property
    def positive(self) -> bool:
        """Whether it must be positive to be trained, or for maps to compare it with others."""
        doubled = any(isinstance(use.transform, Doublings) for use in self.maps)
        return doubled or self._limit("gt", -1.0) >= 0 or self._limit("ge", 0.0) > 0

    def _limit(self, kind: str, otherwise: float) -> float:
        """A limit of the field's type: ``gt``, ``ge`` or ``le``."""
        limits = (getattr(one, kind, None) for one in self.field.metadata)
        return next((float(limit) for limit in limits if limit is not None), otherwise)


def value_at(settings: Settings, path: str) -> Any:
    """The value of ``section.name`` in `TrainingSettings`."""
    value: Any = settings
    for part in path.split("."):
        value = getattr(value, part)
    return value


def setting(default: Any, *, maps: InMaps | tuple[InMaps, ...] = (), **declarations: Any) -> Any:
    """A field of settings: its default, and what it declares of `Setting`."""
    declarations["maps"] = (maps,) if isinstance(maps, InMaps) else maps
    return pydantic.Field(default, json_schema_extra={"declared": declarations})


def section_of(field: pydantic.fields.FieldInfo) -> type[Settings] | None:
    """The class of settings that a field holds; None where it holds a value."""
    held = field.annotation
    return held if isinstance(held, type) and issubclass(held, Settings) else None


def declared_settings(held: type[Settings], path: str = "", **inherited: Any) -> Iterator[Setting]:
    """Every setting in a class and its sections; what a section declares holds for its fields."""
    for name, field in held.model_fields.items():
        extra: Any = field.json_schema_extra or {}
        declarations = {**inherited, **extra.get("declared", {})}
        section = section_of(field)
        if section is None:
            yield Setting(path=f"{path}{name}", field=field, **declarations)
        else:
            yield from declared_settings(section, f"{path}{name}.", **declarations)
