"""Settings as YAML, and changes to them as ``section.name=value``.

A file holds any part of `TrainingSettings`; what it leaves out keeps its default, or its value in
the preset that the file names under ``preset``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import unknown_name
from ..files import foreign_parser, write_atomically
from .presets import preset
from .schema import Settings, section_of
from .training import SETTINGS, TrainingSettings

FLOAT = re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.[\d_]+)([eE][-+]?\d+)?$")
SECTIONS = tuple(name for name, field in TrainingSettings.model_fields.items() if section_of(field))
# settings of a run that may be changed when it is continued
CHANGEABLE = tuple(setting.name for setting in SETTINGS if setting.changeable)
DEEPEST, MOST_NODES, MOST_BYTES = 50, 20_000, 2**22  # of a YAML file; settings have 3 and 150


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but ``3e-4`` is a number and a key given twice an error, as YAML says.

    Nesting and the number of nodes, aliases written out, are bounded before anything is made.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth, self.nodes = 0, 0
        self.sizes: dict[str, int] = {}  # nodes below each anchor

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, unless there are too many, too deep."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        anchor: Any = getattr(event, "anchor", None)
        begun = self.nodes
        alias = isinstance(event, yaml.AliasEvent)
        if alias and anchor in self.anchors and anchor not in self.sizes:
            raise yaml.MarkedYAMLError(
                problem=f"*{anchor} lies within itself", problem_mark=event.start_mark
            )
        self.depth += 1
        self.nodes += self.sizes.get(anchor, 1) if alias else 1
        if self.depth > DEEPEST or self.nodes > MOST_NODES:
            problem = (
                f"it is nested more than {DEEPEST} deep"
                if self.depth > DEEPEST
                else f"it has more than {MOST_NODES:,} values, aliases written out"
            )
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if anchor is not None and not alias:
            self.sizes[anchor] = self.nodes - begun
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping, if all of its keys are text."""
        mapping = super().construct_mapping(node, deep)
        for key in mapping:
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r:.80} is no name; write it in quotes if it is one",
                    problem_mark=node.start_mark,
                )
        return mapping

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, if no key is there twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    raise yaml.MarkedYAMLError(
                        problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
                    )
                keys.add((key.tag, key.value))
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def load_yaml(text: str, source: str) -> Any:
    """The content of YAML text; ValueError names ``source`` and the line if it is none."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"{source} has {len(text):,} characters; settings have a few thousand")
    try:
        with foreign_parser(source, "YAML text", error=ValueError, passing=(yaml.YAMLError,)):
            return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ValueError(f"{source}{line} is no YAML: {problem}") from error


def read_yaml(path: str | Path) -> Any:
    """The content of a settings file; ValueError names it if it is missing or no YAML."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"settings file {str(path)!r} does not exist")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; settings have a few thousand")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason}; save it as such") from error
    return load_yaml(text, str(path))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, section by section."""
    result = copy.deepcopy(dict(base))
    for name, value in changes.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = merged(below, value)
        else:
            result[name] = value
    return result


def as_plain(settings: Settings) -> dict[str, Any]:
    """The settings as nested dictionaries, lists, numbers and text."""
    return settings.model_dump(mode="json")


def from_plain(values: Mapping[str, Any]) -> TrainingSettings:
    """Settings from nested dictionaries, which may name a ``preset`` to start from."""
    if not isinstance(values, Mapping):
        raise ValueError(f"expected sections such as 'network:', not {values!r:.100}")
    values = dict(values)
    base = as_plain(preset(str(values.pop("preset")))) if "preset" in values else {}
    return TrainingSettings(**merged(base, values))


def read_settings(path: str | Path) -> TrainingSettings:
    """The settings in a YAML file.

    Raises
    ------
    ValueError
        If the file does not exist, is no YAML, or holds names or values that are not allowed.
    """
    values = read_yaml(path)
    try:
        with foreign_parser(path, "settings file", error=ValueError, passing=(ValueError,)):
            return from_plain({} if values is None else values)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def read_whole_settings(path: str | Path) -> TrainingSettings:
    """The settings in a file that `write_settings` wrote; a section that is missing was lost."""
    values = read_yaml(path)
    held = values if isinstance(values, Mapping) else {}
    missing = [name for name in SECTIONS if name not in held]
    if missing:
        raise ValueError(f"{path} is not whole: it lacks {', '.join(missing)}")
    return read_settings(path)


def write_settings(settings: TrainingSettings, path: str | Path) -> None:
    """Write every setting, defaults included, as YAML.

    Raises
    ------
    OSError
        If it cannot be written; a file that was there stays as it is.
    """
    text = yaml.safe_dump(as_plain(settings), sort_keys=False, default_flow_style=None)
    write_atomically(path, text)


def another_run(stored: TrainingSettings, wanted: TrainingSettings) -> str | None:
    """The section in which the wanted settings make another run than the stored, or None.

    Their source, and what may be changed when a run is continued, makes no other run.
    """
    changes = {name: getattr(wanted.run, name) for name in CHANGEABLE}
    expected = as_plain(stored.replace(run=stored.run.replace(**changes)))
    differing = (s for s, values in as_plain(wanted).items() if values != expected[s])
    return next((section for section in differing if section != "source"), None)


def _section(path: list[str], given: str) -> type[Settings]:
    """The class that holds the setting at ``path``."""
    held: type[Settings] = TrainingSettings
    for part in path:
        field = held.model_fields.get(part)
        section = section_of(field) if field else None
        if section is None:
            raise unknown_name(f"section of {given!r}", part, SECTIONS)
        held = section
    return held


def with_overrides(settings: TrainingSettings, overrides: Iterable[str]) -> TrainingSettings:
    """Settings with changes written ``section.name=value``; values are read as YAML.

    Raises
    ------
    ValueError
        If a change is not of this form, names what does not exist or was changed before, or gives
        a value that is not allowed.

    Examples
    --------
    >>> changed = with_overrides(TrainingSettings(), ["network.width=128", "optimisation.lr=3e-4"])
    >>> changed.network.width, changed.optimisation.lr
    (128, 0.0003)
    """
    changes: dict[str, Any] = {}
    given: dict[str, str] = {}
    for override in overrides:
        name, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not name:
            raise ValueError(f"{override!r}: write a change as section.name=value")
        if name in given:
            raise ValueError(f"{name} is given twice: {given[name]} and {text}; give it once")
        given[name] = text
        *path, last = name.split(".")
        held = _section(path, override)
        if last not in held.model_fields:
            near = [".".join([*path, field]) for field in held.model_fields]
            raise unknown_name("setting", name, near)
        change: Any = {last: load_yaml(text, override)}
        for part in reversed(path):
            change = {part: change}
        changes = merged(changes, change)
    return TrainingSettings(**merged(as_plain(settings), changes))
