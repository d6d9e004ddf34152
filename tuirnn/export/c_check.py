"""Compiles and runs C sources once on this machine before they are written."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuirnn import compiling
from tuirnn.errors import VerificationError, one_line
from tuirnn.export.c_source import FLAGS

TIMEOUT = 60.0
"""Longest run of the compiled program, in seconds."""

PLAIN = {
    "plain.c": "#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "int main(int argc, char **argv) { (void)argv; return exp(argc) < 0; }\n"
}
"""A program that every working compiler takes."""

NO_MEMORY = ("Killed", "out of memory", "memory exhausted", "Cannot allocate memory")
"""Messages of compilers if a network's tables need more memory than the machine has."""


def verify(files: Mapping[str, str]) -> str:
    """Compile the sources that `c_source.c_files` returned, and run the example, which checks the test vector.

    Returns:
        '' if the test vector was reproduced; otherwise why it could not be checked.
    Raises:
        VerificationError: the sources do not compile, or do not reproduce the test vector.
    """
    compiler = compiling.compiler("c")
    if compiler is None:
        return "no C compiler"
    name = Path(compiler).name
    try:
        if refused := _run_once(compiler, files, ("", "1", "0", "1")):
            if any(words in refused for words in NO_MEMORY):
                return f"{name} ran out of memory: {refused}"
            if broken := _run_once(compiler, PLAIN):
                return f"{name} does not work here: {broken}"
            raise VerificationError(f"the C source was not written: compiled with {name}, it fails: {refused}")
    except subprocess.TimeoutExpired as slow:
        return f"{name} and the program took more than {slow.timeout:.0f} s"
    except OSError as error:
        return f"{name} does not work here: {error.strerror}"
    return ""


def _run_once(compiler: str, files: Mapping[str, str], arguments: Sequence[str] = ()) -> str:
    """Compile and run a program; returns '' on success, otherwise the first line of the error."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        sources = [name for name in files if name.endswith(".c")]
        commands = [
            ([compiler, *FLAGS, *sources, "-lm", "-o", "program"], compiling.TIMEOUT),
            ([str(folder / "program"), *arguments], TIMEOUT),
        ]
        for command, seconds in commands:
            done = subprocess.run(  # noqa: S603
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
            )
            if done.returncode:
                lines = done.stderr.decode(errors="replace").splitlines()
                telling = (line for line in lines if "error" in line or any(words in line for words in NO_MEMORY))
                return one_line(next(telling, lines[0] if lines else f"exit status {done.returncode}"), 200)
    return ""
