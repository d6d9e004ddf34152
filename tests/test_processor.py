"""Which instructions kernels are compiled for, and that a library of one processor is never loaded on another."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tuirnn import compiling, processor
from tuirnn.errors import ConfigError

SSE = "fpu sse sse2 ssse3 sse4_2"
AVX2 = f"{SSE} avx avx2 fma bmi1 bmi2 f16c abm movbe"
AVX512 = f"{AVX2} avx512f avx512bw avx512cd avx512dq avx512vl"
AMX = f"{AVX512} avx512_bf16 amx_bf16 amx_tile amx_int8"

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Sets the flags of each processor of the machine."""

    def become(*flags: str, name: str = "Some CPU") -> None:
        texts = [f"processor\t: {i}\nmodel name\t: {name}\nflags\t\t: {each}\n" for i, each in enumerate(flags)]
        (tmp_path / "cpuinfo").write_text("\n".join(texts))
        forget()

    def forget() -> None:
        processor._lines.cache_clear()
        compiling._cached.cache_clear()

    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("TUIRNN_KERNELS", raising=False)
    yield become
    forget()


@pytest.mark.parametrize(
    ("flags", "best"),
    [(SSE, "plain"), (AVX2, "avx2"), (AVX2.replace("fma ", ""), "plain"), (AVX512, "avx512"), (AMX, "amx"),
     (AVX512.replace("avx512dq ", ""), "avx2")],
)  # fmt: skip
def test_the_highest_level_whose_flags_are_all_there(machine: Machine, flags: str, best: str) -> None:
    machine(flags)
    assert processor.best() == processor.level() == best


def test_tiles_are_compiled_for_where_they_are_and_emulated_where_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(AMX)
    assert processor.compiler_flags() == ("-march=native", "-mamx-tile", "-mamx-bf16")
    monkeypatch.setenv("TUIRNN_KERNELS", "avx512")
    assert processor.compiler_flags() == ("-march=native",)
    machine(AVX2)
    monkeypatch.setenv("TUIRNN_KERNELS", "amx")
    assert (processor.level(), processor.compiler_flags()) == ("amx", ("-march=native",))


def test_what_only_some_processors_of_a_machine_have_is_not_used(machine: Machine) -> None:
    machine(AVX512, AVX2)
    assert processor.best() == "avx2"


def test_the_environment_names_a_lower_level(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(AVX512)
    monkeypatch.setenv("TUIRNN_KERNELS", "avx2")
    assert (processor.level(), processor.compiler_flags()) == ("avx2", ("-march=x86-64-v3",))


@pytest.mark.parametrize(
    ("wanted", "why"), [("avx512", "this processor has avx2 at most"), ("avx3", "did you mean 'avx2'")]
)
def test_a_level_that_is_not_there_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, wanted: str, why: str
) -> None:
    machine(AVX2)
    monkeypatch.setenv("TUIRNN_KERNELS", wanted)
    with pytest.raises(ConfigError, match=why):
        processor.level()


@pytest.mark.skipif(compiling.compiler("c") is None, reason="no C compiler")
def test_a_library_belongs_to_the_processors_that_it_was_compiled_for(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder that moves to a machine without AVX-512 must not bring its instructions along."""
    monkeypatch.setattr(compiling.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache"))
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    units = [compiling.Unit(source)]
    for flags in (AVX512, AVX2):
        machine(flags)
        assert compiling.is_to_be_compiled(units, "c", [])
        assert compiling.load(units, "c", [])[0] is not None
    machine(AVX512)
    assert not compiling.is_to_be_compiled(units, "c", [])


def test_the_label_is_the_full_name_with_its_vectors(machine: Machine) -> None:
    machine(AVX512, name="A Processor 9000 @ 2 GHz")
    assert processor.label() == "A Processor 9000 @ 2 GHz (AVX-512, AVX2)"
