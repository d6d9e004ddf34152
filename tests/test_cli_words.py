"""Parsing of the command line: aliases, any case, and the answers to unknown words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from tuirnn.config import RunConfig, checked
from tuirnn.errors import ConfigError, nearest
from tuirnn.runs.layout import RunPaths


@pytest.fixture
def tuirnn(
    small_run: RunPaths, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """`tuirnn` in this process, with the small run."""

    def run(*words: str) -> Answer:
        monkeypatch.setenv("TUIRNN_RUNS", str(small_run.root.parent))  # each time: --runs before a command sets it
        return answer(*words)

    return run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trian", "no command 'trian'; did you mean 'train'?"),
        ("Train", "no command 'Train'; did you mean 'train'?"),
        ("qqqq", "no command 'qqqq'; see 'tuirnn --help'"),
        ("show small", "no command 'show'; did you mean 'runs show'?"),
        ("delete small", "no command 'delete'; did you mean 'runs rm'?"),
        ("runs sl", "no command 'sl'; did you mean 'ls'?"),
        ("train --hiden 3", "no option '--hiden'; did you mean '--hidden'?"),
        ("train --residul", "no option '--residul'; did you mean '--residual'?"),
        ("train --qqqqqqqqqqqq", "no option '--qqqqqqqqqqqq'; see 'tuirnn train --help'"),
        ("generate small -q", "no option '-q'; see 'tuirnn generate --help'"),
        ("train --hidden 12.5", "--hidden takes a whole number, not '12.5'"),
        ("train --hidden=many", "--hidden takes a whole number, not 'many'"),
        ("train --lr fast", "--lr takes a number, not 'fast'"),
        ("generate small -n ten", "--length takes a whole number, not 'ten'"),
        ("generate", "RUN|FILE.onnx is missing; see 'tuirnn generate --help'"),
        ("runs rm", "RUN is missing; see 'tuirnn runs rm --help'"),
        ("eval small b c", "more words than the command takes: 'b c'; see 'tuirnn eval --help'"),
        ("--ascii runs ls", "--ascii is for the dashboard; leave it out of 'tuirnn runs'"),
        ("--theme tuirnn-dork", "--theme 'tuirnn-dork' is unknown; did you mean 'tuirnn-dark'?"),
        ("bench train --device gpu", "--device 'gpu' is unknown; known: cpu, cuda"),
        ("sweep --seed 1,2 --jobs -1", "--jobs must be from 0 to 1024, not -1"),
        ("train --resume small --cell GRU", "--cell cannot change when a run is resumed: run 'small' was made with "
         "lstm; start a new run with it"),
    ],
)  # fmt: skip
def test_what_means_nothing_gets_one_plain_line(tuirnn: Callable[..., Answer], words: str, line: str) -> None:
    assert tuirnn(*words.split()) == (2, "", f"tuirnn: {line}\n")


def test_other_words_for_the_same(tuirnn: Callable[..., Answer]) -> None:
    listed = tuirnn("runs", "ls")
    assert listed[0] == 0
    assert "small" in listed[1]
    for words in ("ls", "list", "runs", "runs list"):
        assert tuirnn(*words.split()) == listed
    assert json.loads(tuirnn("runs", "--json")[1]) == json.loads(tuirnn("ls", "--json")[1])
    assert tuirnn("data") == tuirnn("data", "ls") == tuirnn("data", "list")
    assert tuirnn("runs", "delete", "nope")[2] == tuirnn("runs", "remove", "nope")[2] == tuirnn("runs", "rm", "nope")[2]
    assert tuirnn("generate", "small", "-n", "9", "--seed", "1") == tuirnn(
        "generate", "small", "--length", "9", "--seed", "1"
    )
    for words in ("dashboard", "ui", "--ascii ui"):  # no terminal here, but no dead end either
        assert "needs a terminal" in tuirnn(*words.split())[2]
    assert tuirnn("help", "runs", "rm") == tuirnn("runs", "rm", "--help")
    assert tuirnn("help") == tuirnn("--help")


def test_the_folder_may_stand_before_the_command(tuirnn: Callable[..., Answer], tmp_path: Path) -> None:
    assert "no runs in elsewhere yet" in tuirnn("--runs", "elsewhere", "runs", "ls")[1]


def test_help_shows_no_types_where_there_are_none(tuirnn: Callable[..., Answer]) -> None:
    for command in ("train", "generate", "export", "runs show", "data ls", "bench train", "sweep"):
        code, said, _ = tuirnn(*command.split(), "--help")
        assert code == 0
        assert "<" not in said, said
        assert f"Usage: tuirnn {command}" in said
    assert tuirnn("--help")[1].count(" ls ") == 0  # other names stay out of the list


def test_choices_are_taken_in_any_case_and_stored_as_they_are_written() -> None:
    config = RunConfig().replace(cell="LSTM", task="LM", optimizer="AdamW", dtype="BFloat16", tokens="Byte")
    assert config == RunConfig().replace(dtype="bfloat16", tokens="byte")
    assert checked("schedule", "Cosine") == "cosine"
    assert checked("sample_prime", "ROMEO") == "ROMEO"  # a text is no choice
    with pytest.raises(ConfigError, match="--cell 'LSMT' is unknown; did you mean 'lstm'"):
        RunConfig().replace(cell="LSMT")
    with pytest.raises(ConfigError, match="--optimizer 'adamv' is unknown; did you mean 'adam' or 'adamw'"):
        RunConfig().replace(optimizer="adamv")
    with pytest.raises(ConfigError, match=r"--hidden takes a whole number, not 12\.5"):
        RunConfig().replace(hidden=12.5)


def test_choices_of_the_commands_are_taken_in_any_case(tuirnn: Callable[..., Answer]) -> None:
    code, said, problem = tuirnn("export", "small", "--precision", "FP32", "--checkpoint", "Last", "--json")
    assert (code, problem) == (0, "")
    assert json.loads(said)["precision"] == "fp32"
    assert tuirnn("generate", "small", "-n", "5", "--device", "CPU")[0] == 0


def test_the_nearest_name_is_offered_and_none_that_is_much_farther() -> None:
    names = ["hidden", "horizon", "tied", "lstm"]
    assert nearest("hiden", names) == "did you mean 'hidden'?"
    assert nearest("LSTM", names) == "did you mean 'lstm'?"
    assert nearest("qq", names) == "known: hidden, horizon, lstm, tied"
    assert nearest("qq", names, "see --help") == "see --help"
    assert nearest("int9", ["fp32", "int4", "int8"]) == "did you mean 'int4' or 'int8'?"
