"""The flags of a command that trains on several processes or nodes."""

from __future__ import annotations

import argparse
from typing import Any

from training.launch.plan import Address, Layout, Nodes, Patience, address, layout, nodes

_DEFAULT = Patience()


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags; `layout_of` reads them."""
    group = parser.add_argument_group("nodes and processes")
    group.add_argument(
        "--nodes", metavar="N", help="machines, or MIN:MAX: nodes may leave and join (the configuration's)"
    )
    group.add_argument(
        "--processes", type=_positive, metavar="N", help="processes of this node, one a GPU (the configuration's)"
    )
    group.add_argument(
        "--rendezvous", metavar="HOST:PORT", help="one of several nodes, and a free port of it; the same on each node"
    )
    group.add_argument(
        "--max-restarts", type=_count, default=3, metavar="N", help="in a row without a new checkpoint (%(default)s)"
    )
    for name, value, text in (
        ("--join-timeout", _DEFAULT.join_s, "how long to wait for enough nodes"),
        ("--last-call", _DEFAULT.last_call_s, "with MIN:MAX, how long to wait for more nodes"),
        ("--keep-alive", _DEFAULT.keep_alive_s, "after which a silent node is lost"),
        ("--stop-timeout", _DEFAULT.stop_s, "for a checkpoint, when the run is interrupted"),
    ):
        group.add_argument(name, type=_positive, default=value, metavar="SECONDS", help=f"{text} (%(default)s)")


def layout_of(args: argparse.Namespace, planned_nodes: int, planned_processes: int, gpus: int) -> Layout:
    """The layout that the flags and the configuration name.

    Args:
        gpus: of this machine that the run may use.

    Raises:
        UsageError: as `plan.layout` does.
    """
    given_nodes: Nodes = nodes(args.nodes) if args.nodes else Nodes(planned_nodes, planned_nodes)
    given_address: Address | None = address(args.rendezvous) if args.rendezvous else None
    patience = Patience(
        join_s=args.join_timeout,
        last_call_s=args.last_call,
        keep_alive_s=args.keep_alive,
        stop_s=args.stop_timeout,
    )
    return layout(
        given_nodes,
        args.processes or planned_processes,
        given_address,
        gpus=gpus,
        typed=bool(args.processes),
        max_restarts=args.max_restarts,
        patience=patience,
    )


def _positive(text: str) -> int:
    return _whole(text, 1)


def _count(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    value: Any = int(text) if text.isdecimal() and len(text) < 9 else None
    if value is None or value < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, found {text!r}.")
    return int(value)
