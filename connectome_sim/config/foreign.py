"""Configuration from elsewhere, read as plain values: nothing in it is looked up, imported or run. Knows no field.

Hydra makes objects of whatever a node names as ``_target_``, and takes its own settings (callbacks, launchers, logging,
where to look for more) from any file that holds a node ``hydra``. A folder that somebody else wrote may hold neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from connectome_sim import files
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.resources import conf_dir

# Chosen: some eight times what a fit writes (4.3 kB, 3 levels), and little enough to be read at once.
LONGEST_FILE, LONGEST_VALUE, DEEPEST, MOST_FILES = 50_000, 4_000, 30, 1_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TARGET = "_target_"
_NAMES_TARGET = re.compile(rf"(?<!\w){_TARGET}(?!\w)")  # on its own: a path may hold "_a_target_that"
_HYDRA = re.compile(r"(?<![\w-])hydra(?![\w-])")
_REFERENCE = re.compile(r"\$\{(\s*[\w.\[\]-]+\s*\}|\s*(now|short_id)\s*:[^${}]*\})")  # to another value, or to the time
_SETTINGS = re.compile(
    r"[+~]*(hydra/(launcher|sweeper|job_logging|hydra_logging)|hydra\.(launcher|sweeper|sweep)\.[\w.]+|hydra\.run\.dir"
    r"|hydra\.(output_subdir|verbose|job\.name))$"
)


def read_plain(path: Path) -> Any:
    """The content of a YAML file that is data alone: nested mappings and lists of plain values.

    Raises:
        FileNotFoundError: there is none.
        RunFolderError: it cannot be read, is not YAML, is too long or too deep, or has anchors, aliases or tags.
        ConfigError: it refers to something (``${...}``), names something to be run (``_target_``) or sets up Hydra.
    """
    content = _content(path)
    refuse_code(content, where=str(path))
    return content


def read_overrides(path: Path) -> tuple[str, ...]:
    """A list of overrides as `read_plain` reads a file; they may refer to each other's values.

    Raises:
        FileNotFoundError, RunFolderError: as `read_plain`; also where it is no list of texts.
        ConfigError: one that a command from a folder may not have, see `check_overrides`.
    """
    content = _content(path)
    if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
        raise RunFolderError(f"{path}: got {_short(str(content))}, wanted a list of overrides; {_DO}")
    try:
        check_overrides(content, settings=False)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; {_DO}") from error
    return tuple(content)


def refuse_code(content: Any, *, where: str) -> None:
    """Raise a ConfigError where nested plain values are more than data; ``where`` is for the message."""
    if isinstance(content, Mapping) and any(str(name).startswith("hydra") for name in content):
        raise ConfigError(f"{where}, field 'hydra': got settings of Hydra, wanted none in a saved configuration; {_DO}")
    for text in _texts(content, where):
        if _NAMES_TARGET.search(text):
            raise ConfigError(f"{where}: got {_short(text)}, something to be run, wanted plain values; {_DO}")
        if "${" in text:
            raise ConfigError(f"{where}: got {_short(text)}, which refers to something, wanted plain values; {_DO}")


def check_folder(folder: Path) -> None:
    """Refuse a folder of configuration files (``--config-dir``) that Hydra would do more with than read values.

    Raises:
        ConfigError: no such folder, a link or too many files in it, a group ``hydra``, or a file that sets up Hydra,
            names something to be run, or refers to more than values of the configuration.
        RunFolderError: a file that cannot be read, see `read_plain`.
    """
    if not folder.is_dir():
        raise ConfigError(f"--config-dir: got {folder}, wanted a folder")
    paths = list(islice(folder.rglob("*"), MOST_FILES + 1))
    if len(paths) > MOST_FILES:
        raise ConfigError(f"--config-dir: got {folder} with over {MOST_FILES} files, wanted YAML files")
    for path in sorted(paths):
        if path.is_symlink() or path.name == "hydra":
            what = "a link" if path.is_symlink() else "a group of Hydra's own settings"
            raise ConfigError(f"{path}: got {what}, wanted files of this project's groups alone; {_DO}")
        if path.suffix in (".yaml", ".yml") and path.is_file():
            _check_file(path)


def check_overrides(overrides: Iterable[str], *, settings: bool = True) -> None:
    """Refuse overrides that name something to be run, or change what Hydra does beyond launchers, sweeps and logs.

    Args:
        overrides: as on the command line.
        settings: accept Hydra's own settings as far as those; otherwise none of them.

    Raises:
        ConfigError: naming the override.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if _NAMES_TARGET.search(override):
            raise ConfigError(f"{_short(override)}: names something to be run ({_TARGET}), wanted plain values")
        of_hydra = _HYDRA.search(key) or override.startswith("-")
        if of_hydra and not (settings and _SETTINGS.match(key)):
            raise ConfigError(
                f"{_short(override)}: changes Hydra itself, wanted at most a launcher, a sweeper, their settings, or "
                "where a sweep leaves its notes"
            )
        if ".." in Path(value.strip("'\" ")).parts and _is_group(key):
            raise ConfigError(f"{_short(override)}: leaves the folder of the group, wanted one of its options")


_DO = "do not use what you do not trust, or remove it"


def _is_group(key: str) -> bool:
    group = re.split("[@:]", key.lstrip("+~"))[0]
    return "/" in group or (conf_dir() / group).is_dir()


def _check_file(path: Path) -> None:
    """One file of a folder of configuration: data, references to data, and defaults from this project's groups."""
    content = _content(path)
    header = re.findall(r"#\s*@package(.*)", files.read_text(path, most=LONGEST_FILE))
    defaults = content.get("defaults") if isinstance(content, Mapping) else None
    said = "\n".join([*header, *_texts(defaults, str(path)), *_top(content)])
    if _HYDRA.search(said):
        raise ConfigError(f"{path}: got settings of Hydra, wanted values of this project's configuration; {_DO}")
    if ".." in said or "${" in "".join(_texts(defaults, str(path))):
        raise ConfigError(f"{path}: got defaults from elsewhere, wanted options of this project's groups; {_DO}")
    for text in _texts(content, str(path)):
        if _NAMES_TARGET.search(text) or "${" in _REFERENCE.sub("", text):
            raise ConfigError(f"{path}: got {_short(text)}, wanted plain values or references to others; {_DO}")


def _top(content: Any) -> list[str]:
    return [str(name) for name in content] if isinstance(content, Mapping) else []


def _content(path: Path) -> Any:
    """What a YAML file holds, with limits on its size and depth; nothing in it resolved."""
    try:
        text = files.read_text(path, most=LONGEST_FILE)
        _check_events(text, path)
        node = OmegaConf.create(text)  # its reader: numbers like 1e-3, no name twice
        return OmegaConf.to_container(node, resolve=False)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        raise RunFolderError(f"{path}: cannot be read ({_first_line(error)})") from error


def _check_events(text: str, path: Path) -> None:
    """A pass over the YAML events, which builds nothing: an alias may stand for a million values."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        place = f"{path}: line {event.start_mark.line + 1}"
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise RunFolderError(f"{place}: got an anchor, alias or tag of YAML, wanted plain values; {_DO}")
        if len(getattr(event, "value", "")) > LONGEST_VALUE:
            raise RunFolderError(f"{place}: got a value longer than {LONGEST_VALUE} characters; {_DO}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RunFolderError(f"{place}: deeper than {DEEPEST} levels, wanted a configuration; {_DO}")


def _texts(content: Any, where: str, depth: int = 0) -> Iterable[str]:
    """Every name and every text in nested plain values."""
    if depth > DEEPEST:
        raise ConfigError(f"{where}: deeper than {DEEPEST} levels, wanted a configuration; {_DO}")
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield str(name)
            yield from _texts(value, where, depth + 1)
    elif isinstance(content, Sequence):
        for value in content:
            yield from _texts(value, where, depth + 1)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
