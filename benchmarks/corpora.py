"""Texts of 10 MB to 1 GB: seconds until the first training step, memory until then, evaluation and novelty.

    python benchmarks/corpora.py [--sizes 10,100,1000] [--tokens char,byte,word] [--keep FOLDER]

The text is made of what the machine has: Python sources, documentation, other texts, in a fixed order, repeated with
changed words where there is too little. Each measurement is a process of its own. Memory is what the process has to
itself (RssAnon), files that are mapped apart, less what `import torch` alone takes.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

MB = 10**6
PLACES = (Path(sys.prefix) / "lib", Path("/usr/lib/python3"), Path("/usr/share"), Path("/usr/include"))
WORD = re.compile(rb"[a-z]{4,}")
ENDINGS = {".py", ".txt", ".rst", ".md", ".h", ".html", ".c", ".json", ".po"}


def pieces(seed: int = 0) -> Iterator[bytes]:
    """Texts of this machine without end; from the second time on with words changed, a tenth of them."""
    files = sorted(
        file for place in PLACES if place.is_dir() for file in place.rglob("*")
        if file.suffix in ENDINGS and not file.is_symlink() and file.is_file() and file.stat().st_size < 2 * MB
    )  # fmt: skip
    draw, seen, words = random.Random(seed), set[bytes](), list[bytes]()
    draw.shuffle(files)

    def changed(found: re.Match[bytes]) -> bytes:
        return draw.choice(words) if draw.random() < 0.1 else found[0]

    for turn in range(10**6):
        for file in files:
            try:
                data = file.read_bytes()
                data.decode()
            except (OSError, UnicodeDecodeError):
                continue
            if b"\0" in data or not data.strip() or (not turn and data in seen):
                continue
            if not turn:
                seen.add(data)
                if len(words) < 200_000:
                    words += WORD.findall(data)[:200]
            else:
                data = WORD.sub(changed, data)
            yield data


def make(path: Path, size: int) -> None:
    """A text of about so many bytes."""
    with path.open("wb") as file:
        for data in pieces():
            file.write(data)
            if file.tell() >= size:
                return


def anonymous(pid: int) -> int:
    """Bytes that a process has to itself."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def processor_seconds(pid: int) -> float:
    """What a process has computed, of all cores together: it hardly depends on what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def torch_alone() -> int:
    """Bytes that a process has to itself which has loaded PyTorch and multiplied two matrices."""
    code = "import torch, os; a = torch.rand(64, 64) @ torch.rand(64, 64); print(open('/proc/self/status').read())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found = re.search(r"RssAnon:\s+(\d+) kB", said)
    assert found
    return 1024 * int(found[1])


def first_step(text: Path, folder: Path, *words: str) -> tuple[float, float, int, list[str]]:
    """Seconds until the first step of a training is reported, of all cores too, memory until then, what was said."""
    command = [sys.executable, "-m", "tuirnn", "train", str(text), "--runs", str(folder / "runs"), "--steps", "2",
               "--allow-leak", "--sample-length", "1", "--json", *words]  # fmt: skip
    began, most, said = time.perf_counter(), 0, []
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.01):
            most = max(most, anonymous(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert child.stdout
    seconds = computed = float("nan")
    for line in child.stdout:
        said.append(line)
        if '"event": "step"' in line or '"event":"step"' in line:
            seconds, computed = time.perf_counter() - began, processor_seconds(child.pid)
            break
    over.set()
    watcher.join()
    child.kill()
    child.wait()
    return seconds, computed, most, said


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10,100,1000", help="in MB")
    parser.add_argument("--tokens", default="char,byte,word")
    parser.add_argument("--keep", type=Path, help="folder for the texts; they are made once")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="corpora-"))
    texts = given.keep or folder
    texts.mkdir(parents=True, exist_ok=True)
    os.environ["TUIRNN_DATA"] = str(folder / "cache")
    base = torch_alone()
    print(f"PyTorch alone {base / MB:.0f} MB")
    print(f"{'text':>8} {'tokens':>6} {'':>6} {'first step':>11} {'of all cores':>12} {'memory':>9}")
    try:
        for size in map(int, given.sizes.split(",")):
            text = texts / f"{size}.txt"
            if not text.exists():
                make(text, size * MB)
                time.sleep(3)
            for tokens in given.tokens.split(","):
                words = ["--tokens", tokens, *(["--vocab-size", "20000"] if tokens == "word" else [])]
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for when in ("cold", "again"):
                    seconds, computed, most, said = first_step(text, folder, *words)
                    print(
                        f"{size:>5} MB {tokens:>6} {when:>6} {seconds:>9.2f} s {computed:>10.2f} s "
                        f"{(most - base) / MB:>6.0f} MB",
                        flush=True,
                    )
                    if seconds != seconds:
                        print("".join(said[-5:]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
