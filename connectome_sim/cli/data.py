"""The verb data: list, inspect and download connectomes. Knows no file format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from connectome_sim.connectome import download
from connectome_sim.connectome.anatomy import CIRCUITS
from connectome_sim.connectome.inspection import as_text, inspect
from connectome_sim.errors import ConfigError

OK = 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")


def run(arguments: list[str]) -> int:
    """``connectome-sim data``."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
    except SystemExit:  # after --help
        return OK
    if given.action is None:
        parser.print_help()
        return OK
    settings = _settings(given.settings, given.known)
    if given.action == "list":
        print(_table())
    elif given.action == "inspect":
        print(_inspected(given.name, settings.get("circuit"), settings.get("own_name", "")))
    else:
        folder = Path(settings["folder"]) if "folder" in settings else None
        print(download.download(given.name, folder=folder, url=settings.get("url")))
    return OK


def _parser() -> _Parser:
    parser = _Parser(
        prog="connectome-sim data",
        description="Lists, inspects and downloads connectomes.",
        epilog=f"A dataset is looked for in the folder that {download.DATA_VARIABLE} names, then in the user's cache.",
    )
    actions = parser.add_subparsers(dest="action", prog="connectome-sim data", parser_class=_Parser)
    listed = actions.add_parser("list", help="known datasets, and where they are on this machine")
    listed.set_defaults(settings=[], known=())
    shown = actions.add_parser(
        "inspect",
        help="what a connectome holds",
        description="Prints cells, connected pairs and synapses of a connectome, by type where a circuit is selected, "
        "and whether they are the published ones.",
        epilog="example: connectome-sim data inspect hemibrain circuit=core",
    )
    shown.add_argument("name", help="a dataset, 'statistics' (drawn from wiring statistics, seed 0), or a path")
    shown.add_argument(
        "settings",
        nargs="*",
        default=[],
        help=f"circuit=NAME: {', '.join(CIRCUITS)}; own_name=NAME: of data that differ from the release they look like",
        metavar="key=value",
    )
    shown.set_defaults(known=("circuit", "own_name"))
    fetched = actions.add_parser(
        "download",
        help="fetch a dataset and check it",
        description="Downloads a dataset, checks it against its known content and prints its folder. A transfer that "
        "breaks starts again; nothing half-finished is left behind.",
        epilog="example: connectome-sim data download hemibrain",
    )
    fetched.add_argument("name", help=f"one of {', '.join(download.DATASETS)}")
    fetched.add_argument(
        "settings",
        nargs="*",
        default=[],
        help="folder=PATH: where the dataset's folder goes (default: the user's cache); url=ADDRESS: of a mirror",
        metavar="key=value",
    )
    fetched.set_defaults(known=("folder", "url"))
    return parser


def _settings(texts: list[str], known: tuple[str, ...]) -> dict[str, str]:
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in known or not equals or not value:
            raise ConfigError(f"connectome-sim data: got {text!r}, wanted {' or '.join(f'{k}=...' for k in known)}")
        settings[key] = value
    return settings


def _table() -> str:
    """Datasets as blocks of lines: a citation does not fit a column."""
    blocks = []
    for row in download.list_datasets():
        lines = [f"{row['name']} {row['version']}  ({row['size']}, {row['licence']})"]
        lines.append(f"  here      {row['folder'] or 'no; connectome-sim data download ' + row['name']}")
        lines += [f"  {key:9} {row[key]}" for key in ("url", "citation")]
        blocks.append("\n".join(lines))
    blocks.append(
        "statistics  (ships with the package)\n"
        "  drawn from wiring statistics of the hemibrain; none of its neurons is real"
    )
    return "\n\n".join(blocks)


def _inspected(name: str, circuit_name: str | None, own_name: str) -> str:
    # PyTorch takes seconds to import; --help should not
    from connectome_sim.build.objects import labelled, source
    from connectome_sim.config import ConnectomeConfig

    ring = circuit_name not in (None, "core")
    config = ConnectomeConfig(
        source=name,
        circuit=circuit_name or "core",
        statistics="hemibrain_core_er" if ring else "hemibrain_core",
        own_name=own_name,
    )
    whole = source(config, whole=circuit_name is None)
    return as_text(inspect(whole if circuit_name is None else labelled(whole, config)))
