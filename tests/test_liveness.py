"""The state of a run in many scenarios: what is shown, which process is signalled, whether it can be removed."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import train_small
from scenario import BYSTANDER, OTHER_BOOT, Child, Scenario
from scenarios import SCENARIOS
from tui.conftest import screen_text, until
from waiting import wait

from tuirnn.cli.runs import ls
from tuirnn.config import RunConfig
from tuirnn.errors import RunError
from tuirnn.runs import liveness, process, writer
from tuirnn.runs.housekeeping import remove, rename, repair
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import list_runs
from tuirnn.runs.reader import Status, read_status, written_status
from tuirnn.runs.writer import RunWriter, acquired
from tuirnn.training import launch, recorder
from tuirnn.training.events import Event
from tuirnn.tui.app import DashboardApp


@pytest.fixture(scope="module")
def bystander() -> Iterator[Child]:
    child = Child("-S", "-c", BYSTANDER)
    yield child
    child.end()


@pytest.fixture(scope="module")
def training(
    tmp_path_factory: pytest.TempPathFactory, small_text: Path
) -> Iterator[tuple[subprocess.Popen[bytes], RunPaths]]:
    """A training of a whole hour, and its process."""
    folder = tmp_path_factory.mktemp("live")
    words = "--name night --hidden 8 --embed 4 --batch-size 4 --seq-len 8 --device cpu --minutes 60 --eval-every 100000"
    real = subprocess.Popen(
        [sys.executable, "-m", "tuirnn", "train", str(small_text), "--runs", str(folder), *words.split()],
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    paths = RunPaths(folder / "night")
    try:
        wait(lambda: written_status(paths) is not None, 60)
        yield real, paths
    finally:
        real.kill()
        real.wait()


@pytest.fixture
def scenario(
    tmp_path: Path, bystander: Child, training: tuple[subprocess.Popen[bytes], RunPaths]
) -> Iterator[Scenario]:
    shutil.copytree(
        training[1].root, tmp_path / "scenario", ignore=shutil.ignore_patterns("*.json", "control", "step_*")
    )
    shutil.copy(training[1].record, tmp_path / "scenario")
    made = Scenario(RunPaths(tmp_path / "scenario"), bystander, *training)
    yield made
    for undo in made.after:
        undo()
    for child in made.children:
        if child.process.returncode is None:
            child.end()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_state_of_a_run(
    name: str, scenario: Scenario, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOCK_PATIENCE", 0.02)
    expected = SCENARIOS[name](scenario)
    paths, living = scenario.paths, [child for child in scenario.children if child.lives]
    status = read_status(paths)
    assert status.state == expected.state
    assert expected.message in status.message
    assert bool(status.message) == bool(expected.message) or expected.state == "stale"

    ls(runs=paths.root.parent)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[1] == paths.name]
    assert expected.state in line
    assert status.message.split("last heartbeat")[0] in line
    assert [run.status.state for run in list_runs(paths.root.parent) if run.name == paths.name] == [expected.state]

    if not expected.removable:
        for refused in (lambda: remove(paths), lambda: rename(paths, "other"), lambda: list(repair(paths))):
            with pytest.raises(RunError, match=r"silent|is training|being trained"):
                refused()
        assert paths.record.is_file()

    seen = scenario.seen or status
    if expected.kill and living:
        liveness.kill(paths, seen)
        assert living.pop().process.wait(5) == -signal.SIGKILL
        assert read_status(paths).state == "stale"
    elif expected.kill:
        liveness.check_own(paths, seen)
    else:
        with pytest.raises(RunError, match=expected.refusal or "not running"):
            liveness.kill(paths, seen)
    assert scenario.bystander.untouched
    assert scenario.real.poll() is None
    assert all(child.untouched for child in living)

    if expected.removable:
        remove(rename(paths, "gone"))
        assert not os.path.lexists(paths.root)
    assert scenario.training.record.is_file()


def test_readers_that_test_the_lock_keep_neither_each_other_nor_a_trainer_from_it(scenario: Scenario) -> None:
    over, answers = threading.Event(), Counter[bool | None]()

    def look() -> None:
        while not over.wait(0.0005):
            answers[liveness.is_locked(scenario.paths)] += 1

    with open(scenario.paths.lock, "w") as file:  # a reader that is held up in the middle of its test
        fcntl.flock(file, fcntl.LOCK_SH)
        assert liveness.is_locked(scenario.paths) is False
        threading.Timer(0.05, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        acquired(scenario.paths).release()
    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        wait(lambda: answers[False] >= 100)
        assert set(answers) == {False}
        for taken in range(1, 51):
            lock = acquired(scenario.paths)
            wait(lambda taken=taken: answers[True] >= taken)  # type: ignore[misc]
            lock.release()
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert set(answers) == {True, False}


@pytest.mark.skipif(
    not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK), reason="only root chooses the next process id"
)
def test_a_pid_that_is_used_again_after_the_check_is_spared(scenario: Scenario) -> None:
    heirs: list[Child] = []

    def trainer_ends_and_a_bystander_gets_its_number(victim: Child) -> None:
        victim.end()
        for _ in range(200):
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(victim.pid - 1))
            heirs.append(Child("-S", "-c", BYSTANDER))
            if heirs[-1].pid == victim.pid:
                return
            heirs.pop().end()

    victim = scenario.holder({})
    with pytest.raises(ProcessLookupError):
        process.kill(victim.pid, lambda: trainer_ends_and_a_bystander_gets_its_number(victim))
    if not heirs:
        pytest.skip("other processes took the number each time")
    try:
        assert heirs[0].untouched
        assert read_status(scenario.paths).state == "stale"
        with pytest.raises(RunError, match="not running"):
            liveness.kill(scenario.paths, written_status(scenario.paths) or Status())
        assert heirs[0].untouched
    finally:
        heirs[0].end()


def test_where_there_is_no_proc_ps_tells_processes_apart(
    bystander: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PROC", tmp_path)
    ours, theirs = process.fingerprint(os.getpid()), process.fingerprint(bystander.pid)
    assert ours
    assert theirs
    assert ours != theirs
    assert theirs == process.fingerprint(bystander.pid)
    assert process.fingerprint(2**22 + 1) is None
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert process.fingerprint(bystander.pid) == ""


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_dashboard_says_how_a_run_is(scenario: Scenario, size: tuple[int, int]) -> None:
    holder = scenario.holder({"heartbeat": time.time() - 100, "step": 7, "tokens_per_s": 4321.0, "eta": 100.0})
    holder.process.send_signal(signal.SIGSTOP)
    foreign = RunPaths(scenario.paths.root.with_name("foreign"))
    shutil.copytree(scenario.paths.root, foreign.root)
    with RunWriter(foreign) as held:
        held.status(Status("running", 4121, "gpu3", OTHER_BOOT, heartbeat=time.time()))
    copied = RunPaths(scenario.paths.root.with_name("copied"))
    shutil.copytree(scenario.paths.root, copied.root)
    app = DashboardApp(scenario.paths.root.parent, "scenario")
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.folder.was_read)
        stopped = "stopped, silent for 1 m", f"'kill -CONT {holder.pid}'", *["resumes it"][: size[0] == 80]
        for run, said in (("scenario", stopped), ("foreign", ("on gpu3, last heartbeat",)), ("copied", ("a copy:",))):
            app.open_run(RunPaths(scenario.paths.root.with_name(run)))
            await until(pilot, lambda said=said: all(part in screen_text(app) for part in said))
            assert "4.32k" not in screen_text(app) or run != "scenario"
        await pilot.press("K")  # it is not offered where there is nothing to kill
        await pilot.pause()
        assert "Kill" not in screen_text(app)
        await pilot.press("1")
        await until(pilot, lambda: all(word in screen_text(app) for word in ("~ silent", "▶ running", "◌ stale")))
    holder.process.send_signal(signal.SIGCONT)
    wait(lambda: holder.untouched)


async def test_k_kills_the_runs_own_trainer(
    training: tuple[subprocess.Popen[bytes], RunPaths], bystander: Child
) -> None:
    real, paths = training
    app = DashboardApp(paths.root.parent, paths.name)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.folder.was_read and "▶ running" in screen_text(app))
        await pilot.press("K", "y")
        await until(pilot, lambda: real.poll() is not None)
        await until(pilot, lambda: "◌ stale" in screen_text(app))
    assert real.returncode == -signal.SIGKILL
    assert bystander.untouched


def test_a_long_evaluation_is_not_silent(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "HEARTBEAT", 0.0)
    paths, heartbeats = RunPaths(tmp_path / "one"), dict[str, float]()

    def look(event: Event) -> None:
        if event.kind in ("step", "eval"):
            heartbeats[event.kind] = (written_status(paths) or Status()).heartbeat

    settings = {"hidden": 8, "embed": 4, "steps": 2, "sources": (str(small_text),), "device": "cpu"}
    launch.start(RunConfig().replace(**settings), tmp_path, "one", look)
    assert heartbeats["eval"] > heartbeats["step"]


def test_a_run_that_ends_while_it_is_read_is_done_not_stale(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=3)
    done = paths.status.read_bytes()
    claimed = {**json.loads(done), "state": "running", "process": "1 gone"}
    paths.status.write_text(json.dumps(claimed))
    judged = liveness.judge

    def ends_meanwhile(paths: RunPaths, status: Status) -> liveness.Life:
        life = judged(paths, status)
        paths.status.write_bytes(done)
        return life

    assert read_status(paths).state == "stale"
    monkeypatch.setattr(liveness, "judge", ends_meanwhile)
    assert read_status(paths).state == "done"


def test_a_hang_up_while_the_end_is_written_leaves_a_run_that_is_done(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = []
    end = recorder.Recorder.end

    def asked(self: recorder.Recorder, outcome: str) -> None:
        handlers.append(signal.getsignal(signal.SIGHUP))
        end(self, outcome)

    monkeypatch.setattr(recorder.Recorder, "end", asked)
    train_small(tmp_path, "one", small_text, steps=3)
    assert handlers
    assert signal.SIG_DFL not in handlers
