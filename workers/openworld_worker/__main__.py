"""The command line of the SDK: `catalog` prints a ToolCatalog, `run` is the command of a tool's container."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .catalog import catalog, to_yaml
from .errors import WorkerError
from .runner import run_job
from .tool import load_tools

DEFAULT_IMAGE = "localhost/my-tools:dev"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "run":
        return run_job(given.source, given.name, os.environ)
    try:
        tools = load_tools(given.source)
        name = given.name or Path(given.source).stem.replace("_", "-").replace(".", "-")
        printed = catalog(name, given.source_in_image or given.source, given.image, tools.values())
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(to_yaml(printed))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m openworld_worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    source_help = "a Python file or module with functions marked @tool"

    printing = commands.add_parser("catalog", help="print the ToolCatalog of a module")
    printing.add_argument("source", help=source_help)
    printing.add_argument("--image", default=DEFAULT_IMAGE, help="image that has the tools")
    printing.add_argument("--name", help="name of the ToolCatalog (default: from the file's name)")
    printing.add_argument("--source-in-image", help="path of the module inside the image, when it differs")

    running = commands.add_parser("run", help="run one tool in its Job")
    running.add_argument("source", help=source_help)
    running.add_argument("name", help="name of the tool")
    return parser


if __name__ == "__main__":
    sys.exit(main())
