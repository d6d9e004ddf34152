"""What `make dist` has built, installed and used as a stranger would: in clean environments, in an empty folder.

    python tests/package.py dist

Two installations: all of it, and what plays alone (requirements-play.txt). After the installations nothing needs a
network; where the system allows it (`unshare`), the commands have none. Prints a line for each check; exit status 1
where one fails.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 200
TABLE = "text,label\n" + "".join(f"{word}{n},{word}\n" for n in range(60) for word in ("left", "right"))
SMALL = ("--hidden", "8", "--steps", "5", "--eval-every", "5", "--batch-size", "4", "--device", "cpu")
LIMITS = {"on disk without PyTorch, MB": 250.0, "import tuirnn, ms": 60.0, "first frame of the dashboard, s": 0.4}
"""Figures that must not be exceeded."""


class Installation:
    """A virtual environment with the wheel.

    Args:
        folder: an empty folder for it, and for the commands to work in.
        name: for people.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.work, self.venv = name, folder / f"{name}-work", folder / name
        self.work.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", str(self.venv)], check=True)
        self.failed: list[str] = []
        without = ["unshare", "-r", "-n"]
        able = shutil.which("unshare") and subprocess.run([*without, "true"], stderr=subprocess.DEVNULL).returncode == 0
        self.offline = without if able else []
        self.clean = {key: value for key, value in os.environ.items() if not key.startswith(("TUIRNN", "PYTHON"))}
        self.environment = {**self.clean, "HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}

    def pip(self, *words: str) -> None:
        """Install."""
        began = time.perf_counter()
        subprocess.run([self.venv / "bin" / "pip", "install", "--quiet", *words], check=True, env=self.clean)
        self.say(f"pip install {' '.join(words)}", f"{time.perf_counter() - began:.0f} s")

    def python(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run its interpreter in the empty folder, without a network."""
        command = [*self.offline, str(self.venv / "bin" / "python"), *words]
        return subprocess.run(command, cwd=self.work, env=self.environment, text=True, capture_output=True)

    def tuirnn(self, *words: str, code: int = 0, says: str = "") -> None:
        """Run a command and check its exit status, its one line of an error, and what it says."""
        began = time.perf_counter()
        done = self.python("-m", "tuirnn", *words)
        right = done.returncode == code and "Traceback" not in done.stderr
        right &= bool(re.search(says, done.stderr if code else done.stdout))
        right &= code == 0 or done.stderr.count("\n") == 1
        seconds = f"{time.perf_counter() - began:.1f} s"
        said = done.stderr.strip() if code else ""
        self.say(
            f"tuirnn {' '.join(words)}", f"{seconds}  {said}", right, f"{done.returncode} {done.stdout}{done.stderr}"
        )

    def figure(self, name: str, value: float) -> None:
        """Say a figure; more than its limit is a failure, but for a time that was taken on a busy machine."""
        limit, load = LIMITS[name], os.getloadavg()[0]
        busy = "MB" not in name and load > (os.cpu_count() or 1)
        note = f", not judged: the machine is busy, load {load:.1f}" if busy else ""
        self.say(name, f"{value:.3g} (at most {limit:g}{note})", busy or value <= limit, "more than its limit")

    def say(self, what: str, result: str, right: bool = True, why: str = "") -> None:
        """One line."""
        print(f"{'ok  ' if right else 'FAIL'} {self.name:<6} {what}: {result}", flush=True)
        if not right:
            self.failed.append(what)
            print(why[-3000:], file=sys.stderr, flush=True)

    def size(self) -> float:
        """Megabytes of the installed packages, without those that every environment begins with."""
        site = next(self.venv.glob("lib/python*/site-packages"))
        own = [path for path in site.iterdir() if not path.name.startswith(("pip", "setuptools", "pkg_resources"))]
        files = {path for each in own for path in (each.rglob("*") if each.is_dir() else [each]) if path.is_file()}
        return sum(path.stat().st_blocks * 512 for path in files) / 1e6

    def starts(self) -> None:
        """How long the import takes, the median of five, and the first frame of the dashboard, the least of five."""
        code = "import time; t = time.perf_counter(); import tuirnn; print(time.perf_counter() - t)"
        imports = sorted(float(self.python("-c", code).stdout) for _ in range(5))
        self.figure("import tuirnn, ms", 1000 * imports[2])
        done = self.python(str(ROOT / "benchmarks" / "first_impressions.py"), "checkpoints")
        frame = re.search(r"first frame .*at least ([\d.]+) s", done.stdout)
        self.figure("first frame of the dashboard, s", float(frame[1]) if frame else float("inf"))
        plays = re.search(r"a cell writes +([\d.]+) s", done.stdout)
        self.say("the dashboard's Generate tab plays", f"{plays[1]} s" if plays else "no", bool(plays), done.stderr)


def whole(made: Installation, wheel: Path) -> None:
    """Everything, as `pip install tuirnn` would have it."""
    made.pip("--constraint", str(ROOT / "constraints.txt"), str(wheel))
    (made.work / "a.txt").write_text(TEXT)
    (made.work / "a.csv").write_text(TABLE)
    made.tuirnn("--version", says=r"tuirnn \d+\.\d+\.\d+")
    made.tuirnn("cells", "lstm", says="f forget")
    made.tuirnn("recipes", says="surnames")
    made.tuirnn("train", "a.txt", "--name", "small", *SMALL, says="small")
    made.tuirnn("train", "a.csv", "--task", "classify", "--name", "sides", *SMALL, says="sides")
    made.tuirnn("export", "small", "--c", says=r"small\.onnx")
    made.tuirnn("generate", "small", "-n", "20", "--prime", "the ")
    made.tuirnn("predict", "sides", "left5", says="left|right")
    made.tuirnn("examples", "python-numpy", "-o", "host", says="host")
    done = made.python("host/write.py", "host/cell.onnx", "KING ")
    made.say("the example host writes", done.stdout[:20].replace("\n", " "), done.returncode == 0, done.stderr)
    made.tuirnn("demo", says="to see its curves and states: tuirnn")
    made.starts()


def playing(made: Installation, wheel: Path, runs: Path) -> None:
    """What plays alone, with the runs of the other installation."""
    made.pip("-r", str(ROOT / "requirements-play.txt"))
    made.pip("--no-deps", str(wheel))
    shutil.copytree(runs, made.work / "checkpoints")
    absent = made.python("-c", "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('pyarrow'))")
    made.say("neither PyTorch nor PyArrow", absent.stdout.strip(), absent.stdout == "None None\n")
    made.figure("on disk without PyTorch, MB", made.size())
    made.tuirnn("demo", says="ROMEO")
    made.tuirnn("generate", "shakespeare.onnx", "-n", "50")
    made.tuirnn("generate", "small", "-n", "20", "--prime", "the ")
    made.tuirnn("predict", "sides", "left5", says="left|right")
    made.tuirnn("export", "small", says=r"small\.onnx")
    made.tuirnn("inspect", "shakespeare.onnx", says="verified")
    made.tuirnn("cells", "gru", says="r reset")
    made.tuirnn("runs", says="small")
    made.tuirnn("examples", "web", says="web")
    (made.work / "a.csv").write_text(TABLE)
    for words in (("train",), ("sweep", "--seed", "0,1"), ("verify",), ("bench", "train")):
        made.tuirnn(*words, code=2, says="needs PyTorch")
    made.tuirnn("data", "look", "a.csv", code=2, says="needs PyArrow")
    made.starts()


def mistagged(wheel: Path) -> str:
    """What is wrong where a tag such as v1.2.3 of this commit is not the wheel's version; empty without such a tag."""
    listed = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    tags = [tag[1:] for tag in listed.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    version = wheel.name.split("-")[1]
    return f"this commit is tagged {tags}, the wheel is {version}: set tuirnn.__version__" * (
        tags not in ([], [version])
    )


def main() -> int:
    """Build nothing, install and check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=Path, help="folder of the wheel")
    wheels = sorted(parser.parse_args().dist.glob("tuirnn-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print("tests/package.py: no wheel in that folder; build one: make dist", file=sys.stderr)
        return 2
    if wrong := mistagged(wheels[-1]):
        print(f"tests/package.py: {wrong}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        wheel, everything, plays = (
            wheels[-1].resolve(),
            *(Installation(Path(name), each) for each in ("whole", "plays")),
        )
        whole(everything, wheel)
        playing(plays, wheel, everything.work / "checkpoints")
        failed = [f"{made.name}: {what}" for made in (everything, plays) for what in made.failed]
    print(f"{len(failed)} checks failed" + "".join(f"\n  {what}" for what in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
