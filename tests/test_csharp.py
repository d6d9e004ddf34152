"""The C# example compiles against declarations of what it calls; an SDK, where there is one, runs it: test_hosts.py."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("mcs")


@pytest.mark.skipif(COMPILER is None, reason="no mono-mcs")
def test_the_example_compiles(tmp_path: Path) -> None:
    sources = [HERE.parent / "export" / "examples" / "csharp" / "Write.cs", HERE / "csharp" / "Declared.cs"]
    command = [str(COMPILER), "-warnaserror", f"-out:{tmp_path / 'write.exe'}", *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
