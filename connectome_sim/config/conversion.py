"""Dataclasses from configurations and back. Knows no field by name.

Unknown keys, missing keys and wrong types are refused here; ranges by the ``__post_init__`` of each dataclass.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from connectome_sim.config.schema import is_sequence, readable
from connectome_sim.errors import ConfigError, ConnectomeSimError

C = TypeVar("C")

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def typed(cls: type[C], config: Any, *, where: str = "") -> C:
    """The dataclass from a configuration.

    Args:
        cls: what to make.
        config: a mapping or an OmegaConf node; keys left out have their defaults.
        where: place of the configuration, for messages.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, or a value out of range; values that a domain dataclass
            refuses keep the type of its error (StepError, ParameterError, ...), with their place in front.
    """
    if OmegaConf.is_config(config):
        try:
            OmegaConf.resolve(config)  # in place: a random identifier is then the same wherever it is used
            config = OmegaConf.to_container(config, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{_place(where)}: {readable(error)}") from error
    made: C = _made(cls, config, where, MISSING)
    return made


def plain(value: Any) -> Any:
    """A dataclass as nested dicts, lists and plain values, from which ``typed`` makes it again."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _made(cls: Any, config: Any, where: str, default: Any) -> Any:
    """``cls`` from a mapping; what it leaves out comes from ``default``, where that is one of its kind."""
    if not isinstance(config, Mapping):
        raise ConfigError(f"{_place(where)}: got {config!r}, wanted names with values")
    known = {field.name: field for field in fields(cls)}
    for name in config:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise ConfigError(f"{_place(_inside(where, name))}: unknown; {hint}")
    arguments = {}
    for name, field in known.items():
        own = getattr(default, name, MISSING) if isinstance(default, cls) else _default(field)
        if name in config:
            arguments[name] = _value(_hints(cls)[name], config[name], _inside(where, name), own)
        elif own is MISSING:
            raise ConfigError(f"{_place(_inside(where, name))}: missing, and it has no default")
        else:
            arguments[name] = own
    try:
        return cls(**arguments)
    except ConnectomeSimError as error:
        raise type(error)(f"{_place(where)}: {error}") from error


def _value(hint: Any, value: Any, where: str, default: Any = MISSING) -> Any:
    """A value of the type ``hint``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint):
        return _made(hint, value, where, default)
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None and len(inner) < len(arguments) else _value(inner[0], value, where, default)
    if is_sequence(hint):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{_place(where)}: got {value!r}, wanted a list")
        items = [_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
        return frozenset(items) if origin is frozenset else tuple(items)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{_place(where)}: got {value!r}, wanted names with values")
        return {key: _value(arguments[1], item, _inside(where, key)) for key, item in value.items()}
    return _simple(hint, value, where)


def _simple(hint: type, value: Any, where: str) -> Any:
    """A number, text or truth value; a whole number will do for a number, and nothing else for anything else."""
    fits = isinstance(value, (int, float) if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{_place(where)}: got {value!r}, wanted {_WORDS.get(hint, hint.__name__)}")
    return float(value) if hint is float else value


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _inside(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)


def _place(where: str) -> str:
    return f"configuration, {where}" if where else "configuration"
