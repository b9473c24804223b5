"""`python -m tests.cluster COMMAND`: the local cluster's command line."""

from __future__ import annotations

import argparse
import json
import os
import sys

from . import binary
from .backends import from_environment
from .settings import DEFAULT_NAME, ClusterError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--name", default=os.environ.get("CLUSTER_NAME", DEFAULT_NAME), help="name of the cluster"
        )
        return command

    up = add("up", "start the cluster; what runs already stays as it is")
    up.add_argument(
        "--control-plane-only", action="store_true", help="no node: no pods, but a much faster start"
    )
    add("down", "stop it and leave nothing behind")
    status = add("status", "what runs")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    add("kubeconfig", "print the path of the administrator's kubeconfig")
    user = add(
        "user-kubeconfig", "print the path of a kubeconfig for a person, with a certificate of their own"
    )
    user.add_argument("user")
    user.add_argument("--group", action="append", default=[])
    load = add("load-image", "put an image of this machine into the node")
    load.add_argument("tag")
    build = add("build-image", "build an image")
    build.add_argument("--tag", required=True)
    build.add_argument("--file", required=True)
    build.add_argument("--context", default=".")
    build.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
    add("helm", "print the path of the Helm command, built if need be")
    return parser


def main() -> int:
    """Run one command; errors are one message, not a traceback."""
    options = _parser().parse_args()
    try:
        cluster = from_environment(options.name)
        match options.command:
            case "up":
                cluster.up(control_plane_only=options.control_plane_only)
            case "down":
                cluster.down()
            case "status":
                _print_status(cluster.status(), options.output)
            case "kubeconfig":
                print(cluster.kubeconfig())
            case "user-kubeconfig":
                print(cluster.user_kubeconfig(options.user, options.group))
            case "load-image":
                cluster.load_image(options.tag)
            case "build-image":
                arguments = _arguments(options.build_arg)
                cluster.build_image(options.tag, options.file, options.context, arguments)
            case "helm":
                print(binary.helm())
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ClusterError(f"--build-arg {pair} has no value; write KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_status(status: dict[str, object], output: str) -> None:
    if output == "json":
        print(json.dumps(status, indent=2))
        return
    for key, value in status.items():
        if isinstance(value, dict):
            for name, pid in value.items():
                print(f"  {name:<12} {'pid ' + str(pid) if pid else 'not running'}")
        else:
            print(f"{key}: {value}")


if __name__ == "__main__":
    sys.exit(main())
