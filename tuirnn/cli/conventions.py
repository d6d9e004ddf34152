"""What a script may count on: exit statuses, and the environment variables that are read.

`tuirnn --help` and docs/commands.md show both tables; a test looks for variables that are read and not listed.
"""

from collections.abc import Mapping

EXITS = {
    "0": "done",
    "1": "a fault of tuirnn; a check, or a run of a sweep, that failed",
    "2": "an error in the command, a file or the machine, which the message names",
    "75": "SIGTERM or SIGUSR1 has ended a training after a checkpoint: --resume it",
    "76": "another process of a shared training was lost",
    "130": "ctrl+c; a training has written a checkpoint",
}
"""Exit status -> meaning."""

ENVIRONMENT = {
    "TUIRNN_RUNS": "folder of runs in place of ./checkpoints (--runs wins)",
    "TUIRNN_DATA": "folder of data sets in place of the cache folder",
    "TUIRNN_KERNELS": "amx, avx512, avx2, plain: at most that; portable: none",
    "TUIRNN_GRAPH": "CUDA graph of a step: 'off'; 'twin' checks it",
    "TUIRNN_KNOWN_CELLS": "file of the cell files that have passed their trial",
    "TUIRNN_CONFIG": "file of preferences ('tuirnn config')",
    "TUIRNN_DEBUG": "an internal error prints its traceback",
    "CC": "C compiler, in place of gcc, clang or cc",
    "CXX": "C++ compiler, in place of g++, clang++ or c++",
    "OMP_NUM_THREADS": "threads of a training",
    "NO_COLOR": "no colours",
    "FORCE_COLOR": "colours, even if the output is no terminal",
}
"""Environment variables -> meaning."""

INTERNAL = ("TUIRNN_RENDEZVOUS",)
"""Set by tuirnn for processes that it starts; nothing to set by hand."""


def plain() -> str:
    """Both tables for `tuirnn --help`, in at most 80 columns."""
    return "\n".join([" Exit status:", *_lines(EXITS, 5), "", " Environment variables:", *_lines(ENVIRONMENT, 20)])


def _lines(table: Mapping[str, str], width: int) -> list[str]:
    return [f"   {key:<{width}}{meaning}" for key, meaning in table.items()]


def tables() -> str:
    """Both tables in Markdown."""
    parts = []
    for title, heads, table in (
        ("Exit status", ("status", "meaning"), EXITS),
        ("Environment variables", ("variable", "meaning"), ENVIRONMENT),
    ):
        rows = [" | ".join(heads), "---|---", *(f"`{key}` | {meaning}" for key, meaning in table.items())]
        parts.append(
            "\n".join([f"## {title}", "", *(f"| {row} |" if "---" not in row else "|---|---|" for row in rows)])
        )
    return "\n\n".join(parts) + "\n"
