"""OmegaConf schemas of frozen dataclasses, mechanically: what Hydra checks overrides and files against.

A default stands once, in the dataclass that uses it; its schema is a mutable mirror. Knows no field by name.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, is_dataclass, make_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

C = TypeVar("C")

_NOISE = ("object_type=", "reference_type=", "Config search path", "provider=")  # lines of messages that help nobody


@cache  # OmegaConf compares schemas by identity
def schema(cls: type) -> type:
    """The mutable mirror of a dataclass: same names and defaults, types that OmegaConf knows."""
    hints = get_type_hints(cls)
    fields: list[Any] = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        fields.append((field.name, _mirror_type(hint), dataclasses.field(default_factory=_default(field, hint))))
    made = make_dataclass(cls.__name__, fields)
    made.__module__ = __name__
    made.__qualname__ = ":".join(("schema", cls.__module__.replace(".", "/"), cls.__name__))
    return made


def __getattr__(name: str) -> Any:
    """A schema by its qualified name, so that it can be pickled: the other processes of a sweep make it afresh."""
    parts = name.split(":")
    if parts[0] != "schema" or len(parts) != 3:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return schema(getattr(import_module(parts[1].replace("/", ".")), parts[2]))


def mirror(value: Any) -> Any:
    """A value of a dataclass as a value of its schema: nested dataclasses too, sequences as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return schema(type(value))(**{f.name: mirror(getattr(value, f.name)) for f in dataclasses.fields(value)})
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
    if field.default is not MISSING:
        return lambda: mirror(field.default)
    if field.default_factory is not MISSING:
        factory = field.default_factory
        return lambda: mirror(factory())
    return schema(hint) if is_dataclass(hint) else lambda: "???"  # type: ignore[arg-type]


def is_sequence(hint: Any) -> bool:
    """Whether a type is that of a list, tuple or set."""
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, (Sequence, AbstractSet))


def _mirror_type(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return schema(hint)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return Optional[_mirror_type(inner)]  # noqa: UP045 (a type made at run time)
    if origin is not None and issubclass(origin, Mapping):
        # In a dict OmegaConf takes neither a plain dict for a dataclass nor a list of ints for one of floats; what is
        # added there `typed` checks
        item = arguments[1]
        simple = not is_dataclass(item) and not is_sequence(item)
        return dict[str, _mirror_type(item) if simple else Any]  # type: ignore[misc]
    if is_sequence(hint):
        return list[_mirror_type(arguments[0])]  # type: ignore[misc]
    return str if hint is Path else hint


def as_node(value: Any) -> Any:
    """A value of a dataclass as a typed OmegaConf node, for Hydra's ConfigStore."""
    return OmegaConf.structured(mirror(value))


def readable(error: BaseException) -> str:
    """An error of Hydra or OmegaConf, with its causes, in one line that names the key."""
    lines: list[str] = []
    current: BaseException | None = error
    while isinstance(current, (HydraException, OmegaConfBaseException)):
        for line in (line.strip() for line in str(current).splitlines()):
            if line and not line.startswith(_NOISE) and line not in lines:
                lines.append(line)
        current = current.__cause__
    if any(re.match(r"Key '.*' not in '", line) for line in lines):  # a typed place takes no other keys, with + neither
        lines = [line for line in lines if not line.startswith("To append")]
    return "; ".join(line.removesuffix(".") for line in lines).replace(":;", ":")
