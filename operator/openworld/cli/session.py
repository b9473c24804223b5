"""What every verb is handed: the connection options, the cluster behind them, a clock, and the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from .cluster import Cluster

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Connection:
    """Which cluster, which namespace, and as whom; None where kubeconfig decides."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()


def _connect(connection: Connection) -> Cluster:
    from .cluster import connect

    return connect(connection)


def _now() -> datetime:
    return datetime.now(UTC)


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


@dataclass
class Session:
    """One run of the command line. The callables are replaced in tests."""

    connection: Connection = field(default_factory=Connection)
    connect: Callable[[Connection], Cluster] = _connect
    now: Callable[[], datetime] = _now
    has_terminal: Callable[[], bool] = _has_terminal
    _cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster, connected to on first use."""
        if self._cluster is None:
            self._cluster = self.connect(self.connection)
        return self._cluster

    def console(self, *, crop: bool = False) -> Console:
        """Where tables and trees go. Without a terminal lines are as long as they are, unless `crop`."""
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=not crop)
        if not console.is_terminal and not crop:
            console = Console(highlight=False, soft_wrap=True, width=10_000)
        return console


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Session).connection, name, value)

    return callback


def connection_options(command: F) -> F:
    """-n, --context, --kubeconfig, --as and --as-group, before the verb or after it; the last one counts."""
    for decorate in reversed(
        (
            _option("-n", "--namespace", keep="namespace", help="Namespace; default: the context's."),
            _option("--context", keep="context", help="Context of the kubeconfig."),
            _option("--kubeconfig", keep="kubeconfig", help="Kubeconfig file; default: $KUBECONFIG."),
            _option("--as", keep="user", help="User to impersonate."),
            _option("--as-group", keep="groups", multiple=True, help="Group to impersonate; repeatable."),
        )
    ):
        command = decorate(command)
    return command


def _option(*names: str, keep: str, help: str, multiple: bool = False) -> Callable[[F], F]:  # noqa: A002
    return click.option(
        *names, f"_{keep}", multiple=multiple, expose_value=False, callback=_remember(keep), help=help
    )


pass_session = click.make_pass_decorator(Session, ensure=True)
