"""C sources compiled and run once on this machine, before they are put in their place."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuirnn import compiling
from tuirnn.errors import VerificationError, one_line
from tuirnn.export.c_source import FLAGS

TIMEOUT = 60.0
"""Seconds that the compiled program may take."""

PLAIN = {
    "plain.c": "#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "int main(int argc, char **argv) { (void)argv; return exp(argc) < 0; }\n"
}
"""A program that every working compiler takes."""

NO_MEMORY = ("Killed", "out of memory", "memory exhausted", "Cannot allocate memory")
"""What compilers say where a network's tables are more than the machine holds."""


def verify(files: Mapping[str, str]) -> str:
    """Compile the sources of a network and let the example say whether they give the network's test vector.

    Args:
        files: of `c_source.c_files`.
    Returns:
        '' where they do; else why it could not be tried, in a few words.
    Raises:
        VerificationError: they do not compile, or compute something else.
    """
    compiler = compiling.compiler("c")
    if compiler is None:
        return "no C compiler"
    name = Path(compiler).name
    try:
        if refused := _run_once(compiler, files, ("", "1")):
            if any(words in refused for words in NO_MEMORY):
                return f"{name} has not memory enough: {refused}"
            if broken := _run_once(compiler, PLAIN):
                return f"{name} does not work here: {broken}"
            raise VerificationError(f"the C source was not written: compiled with {name}, it fails: {refused}")
    except subprocess.TimeoutExpired as slow:
        return f"{name} and the program took more than {slow.timeout:.0f} s"
    except OSError as error:
        return f"{name} does not work here: {error.strerror}"
    return ""


def _run_once(compiler: str, files: Mapping[str, str], arguments: Sequence[str] = ()) -> str:
    """Compile a program and run it; '' where both go well, else the first line of what was said."""
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
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=seconds, check=False)  # noqa: S603
            if done.returncode:
                lines = done.stderr.decode(errors="replace").splitlines()
                telling = (line for line in lines if "error" in line or any(words in line for words in NO_MEMORY))
                return one_line(next(telling, lines[0] if lines else f"exit status {done.returncode}"), 200)
    return ""
