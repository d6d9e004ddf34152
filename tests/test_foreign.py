"""Files that are no tables, and their like: told by what they are, with what to do."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from tuirnn.errors import DataError
from tuirnn.tasks.look import look_at

TABLE = "date,x\n" + "".join(f"2021-01-{1 + i:02},{i % 7}.5\n" for i in range(28))
ROWS = [{"text": f"nice day {i}", "label": i % 2} for i in range(40)]


def zipped(name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, TABLE)
    return data.getvalue()


def columnar(write: object) -> bytes:
    data = io.BytesIO()
    write(pa.table({"x": [1.0] * 40}), data)  # type: ignore[operator]
    return data.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "t.csv.gz": (gzip.compress(TABLE.encode()), "compressed by gzip; unpack it"),
    "t.csv.bz2": (bz2.compress(TABLE.encode()), "compressed by bzip2; unpack it"),
    "t.csv.xz": (lzma.compress(TABLE.encode()), "compressed by xz; unpack it"),
    "t.zip": (zipped("t.csv"), "zip archive"),
    "t.xlsx": (zipped("xl/workbook.xml"), "or save the sheet as CSV"),
    "named.csv": (zipped("xl/workbook.xml"), "or save the sheet as CSV"),
    "t.parquet": (columnar(parquet.write_table), "Parquet file; write it as CSV"),
    "t.feather": (columnar(lambda of, data: feather.write_feather(of, data, compression="uncompressed")), "Feather"),
    "t.pdf": (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "PDF document"),
    "lines.csv": ("".join(json.dumps(row) + "\n" for row in ROWS).encode(), "JSON, an object in each line"),
    "list.csv": (json.dumps(ROWS).encode(), "is JSON; write it as CSV"),
    "indented.csv": (json.dumps(ROWS, indent=1).encode(), "is JSON; write it as CSV"),
    "page.csv": (b"\n<!DOCTYPE html>\n<html><body><p>a,b</p>\n</body></html>\n", "is a web page"),
    "old_page.csv": (b"<HTML><BODY><P>a,b</P>\n</BODY></HTML>\n", "is a web page"),
    "pointer.csv": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "'git lfs pull'"),
    "t.rtf.csv": (b"{\\rtf1\\ansi date,x\\par\n" + TABLE.encode(), "document in RTF"),
}  # fmt: skip


@pytest.mark.parametrize("task", ["classify", "forecast"])
@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_told_by_what_they_are(name: str, task: str, tmp_path: Path) -> None:
    data, said = FOREIGN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=said) as caught:
        look_at(str(tmp_path / name), {"task": task})
    assert str(caught.value).startswith(f"{name} is ")


@pytest.mark.parametrize("begin", ["PAR1", "BZh", "ARROW1", "PK", "%PDF-"])
def test_names_that_look_so_are_names(begin: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE.replace("x", f"{begin} y", 1).replace("date", begin, 1))
    assert look_at(str(tmp_path / "t.csv"), {}).task == "forecast"


def test_texts_of_web_pages_and_objects_are_texts(tmp_path: Path) -> None:
    for name in ("lines.csv", "page.csv"):
        (tmp_path / "t.txt").write_bytes(FOREIGN[name][0])
        assert look_at(str(tmp_path / "t.txt"), {}).task == "lm"
