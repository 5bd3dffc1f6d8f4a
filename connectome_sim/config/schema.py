"""From frozen dataclasses to OmegaConf schemas and back, mechanically. Knows no field by name.

A default stands once, in the dataclass that uses it: ``schema`` derives from it the mutable mirror against which
OmegaConf checks keys and types, ``typed`` makes the dataclass from a configuration (its own ``__post_init__`` checks
the ranges), ``plain`` takes it apart again.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from connectome_sim.errors import ConfigError, ConnectomeSimError

KIND = "kind"
"""Key that tells which member of a union of dataclasses is meant: its name in snake_case."""

C = TypeVar("C")

_NOISE = ("object_type=", "reference_type=", "Config search path", "provider=")  # lines of messages that help nobody


def kind_of(cls: type) -> str:
    """``GaussNewton`` -> ``gauss_newton``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


# ---- dataclass -> schema


def schema(cls: type, *, tagged: bool = False) -> type:
    """The mutable mirror of a dataclass: same names and defaults, types that OmegaConf knows.

    Args:
        cls: the dataclass.
        tagged: put ``kind`` first, for a member of a union.
    """
    return _schema(cls, tagged)


@cache  # OmegaConf compares schemas by identity
def _schema(cls: type, tagged: bool) -> type:
    hints = get_type_hints(cls)
    fields: list[Any] = []
    if tagged:
        fields.append((KIND, str, dataclasses.field(default=kind_of(cls))))
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        fields.append((field.name, _mirror_type(hint), dataclasses.field(default_factory=_default(field, hint))))
    return make_dataclass(cls.__name__, fields)


def mirror(value: Any, *, tagged: bool = False) -> Any:
    """A value of a dataclass as a value of its schema: nested dataclasses too, sequences as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value))
        return schema(type(value), tagged=tagged)(
            **{
                f.name: mirror(getattr(value, f.name), tagged=_is_choice(hints[f.name]))
                for f in dataclasses.fields(value)
            }
        )
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: mirror(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [mirror(item) for item in value]
    return value


def _default(field: dataclasses.Field[Any], hint: Any) -> Any:
    if _is_choice(hint):
        return lambda: "???"  # a config group chooses; one choice cannot be merged over another
    if field.default is not MISSING:
        return lambda: mirror(field.default)
    if field.default_factory is not MISSING:
        factory = field.default_factory
        return lambda: mirror(factory())
    return schema(hint) if is_dataclass(hint) else lambda: "???"  # type: ignore[arg-type]


def _is_choice(hint: Any) -> bool:
    """Whether a type is a union of dataclasses."""
    members = get_args(hint)
    return get_origin(hint) in (Union, types.UnionType) and all(is_dataclass(member) for member in members)


def _is_sequence(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, (Sequence, AbstractSet))


def _mirror_type(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return schema(hint)  # type: ignore[arg-type]
    if _is_choice(hint):
        return Any
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return Optional[_mirror_type(inner)]  # noqa: UP045 (a type made at run time)
    if origin is not None and issubclass(origin, Mapping):
        # In a dict OmegaConf takes neither a plain dict for a dataclass nor a list of ints for one of floats; what is
        # added there `typed` checks
        item = arguments[1]
        simple = not is_dataclass(item) and not _is_sequence(item)
        return dict[str, _mirror_type(item) if simple else Any]  # type: ignore[misc]
    if _is_sequence(hint):
        return list[_mirror_type(arguments[0])]  # type: ignore[misc]
    return str if hint is Path else hint


# ---- configuration -> dataclass


def typed(cls: type[C], config: Any, *, where: str = "") -> C:
    """The dataclass from a configuration, checked: keys and types here, ranges by the dataclasses themselves.

    Args:
        cls: what to make.
        config: a mapping or an OmegaConf node; keys left out have their defaults.
        where: place of the configuration, for messages.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, or a value out of range; values that a domain dataclass
            refuses keep the type of its error (StepError, ParameterError, ...), with their place in front.
    """
    if not (isinstance(config, Mapping) or OmegaConf.is_dict(config)):
        raise ConfigError(f"configuration{_at(where)}: got {config!r}, wanted a mapping of names to values")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema(cls)), config)
        OmegaConf.resolve(merged)  # once, so that a random identifier is the same wherever it is used
        container = OmegaConf.to_container(merged, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration{_at(where)}: {readable(error)}") from error
    made: C = _parse(cls, container, where)
    return made


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dicts, lists and plain values, from which ``typed`` makes it again."""
    container = OmegaConf.to_container(OmegaConf.structured(mirror(config)))
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def readable(error: BaseException) -> str:
    """An error of Hydra or OmegaConf, with its causes, in one line that names the key."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None:
        for line in (line.strip() for line in str(current).splitlines()):
            if line and not line.startswith(_NOISE) and line not in lines:
                lines.append(line)
        current = current.__cause__
    if any(re.match(r"Key '.*' not in '", line) for line in lines):  # a typed place takes no other keys, with + neither
        lines = [line for line in lines if not line.startswith("To append")]
    return "; ".join(line.removesuffix(".") for line in lines).replace(":;", ":")


def _parse(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if is_dataclass(hint):
        return _made(hint, value, where)  # type: ignore[arg-type]
    if _is_choice(hint):
        return _chosen(arguments, value, where)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _parse(inner, value, where)
    if origin is not None and issubclass(origin, Mapping):
        parse = typed if is_dataclass(arguments[1]) else _parse
        return {key: parse(arguments[1], item, where=_inside(where, key)) for key, item in value.items()}
    if _is_sequence(hint):
        if not isinstance(value, list):
            raise ConfigError(f"configuration, {where}: got {value!r}, wanted a list")
        items = [_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
        return frozenset(items) if origin is frozenset else tuple(items)
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"configuration, {where}: got {value!r}, wanted a number")
        return float(value)
    return Path(value) if hint is Path else value


def _made(cls: type, value: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(cls)
    known = {f.name: _parse(hints[f.name], value[f.name], _inside(where, f.name)) for f in dataclasses.fields(cls)}
    try:
        return cls(**known)
    except ConnectomeSimError as error:
        raise type(error)(f"configuration{_at(where)}: {error}") from error


def _chosen(members: Sequence[type], value: Any, where: str) -> Any:
    choices = {kind_of(member): member for member in members}
    kind = value.get(KIND) if isinstance(value, Mapping) else None
    if kind not in choices:
        raise ConfigError(f"configuration, {where}.{KIND}: got {kind!r}, wanted one of {tuple(choices)}")
    return typed(choices[kind], {key: item for key, item in value.items() if key != KIND}, where=where)


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _at(where: str) -> str:
    return f", {where}" if where else ""


def as_node(value: Any, *, tagged: bool = False) -> Any:
    """A value of a dataclass as a typed OmegaConf node, for Hydra's ConfigStore."""
    return OmegaConf.structured(mirror(value, tagged=tagged))
