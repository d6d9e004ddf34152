"""The encoding of a text: given, marked by its first bytes, UTF-8, UTF-16 without a mark, or one of eight bits."""

import codecs
import itertools
import re
import unicodedata
from dataclasses import dataclass

from tuirnn.errors import DataError, one_line
from tuirnn.tables import foreign

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encodings that begin with them; UTF-32's little-endian one begins as UTF-16's."""

MOST_REPLACED = 0.01
"""Share of characters that an encoding given by a person may lack."""

WESTERN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿŒœŠšŽžŸ]")
USUAL_SIGNS = frozenset("€‚„…‘’“”•–—™ §©«°²³´µ·º»¿¡£ª®±½¼¾×¨¹\u00ad")
"""What Western European texts have beside letters outside ASCII."""

SAMPLE = 2**16
"""Bytes of lines with characters outside ASCII that an encoding is judged by."""

MOST_ZEROS = 0.7
"""Share of zeros in every other byte that makes UTF-16 without a mark."""

MOST_PAGES = 4
"""Blocks of 256 characters of Unicode that a text in UTF-16 without a mark is in."""

CANDIDATES = """
cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso8859_2 iso8859_5 iso8859_7 iso8859_9 iso8859_15 koi8_r
koi8_u mac_roman cp437 cp850 cp852 cp866 gb18030 big5 cp932 shift_jis euc_jp euc_kr cp949 tis_620
""".split()  # noqa: SIM905
"""Encodings that statistics choose from: those of people's files, none of mainframes."""

SINGLE = tuple(name for name in CANDIDATES if not name.startswith(("gb", "big", "cp93", "cp94", "shift", "euc", "tis")))
"""Those of alphabets, of a byte for each character."""

LEAST_DIFFERENT = 5
"""Different bytes outside ASCII from which words alone decide."""

MOST_WORDS = 2**13
"""Characters that are looked at for odd words."""

OPENING = frozenset("“„‘’«»¿¡€£§°·–—…\u00a0\u00ad")
"""Signs outside ASCII that may stand before a letter."""

FEW = 64
"""Bytes outside ASCII below which statistics say nothing."""


@dataclass(frozen=True)
class Encoding:
    """How bytes become text.

    Attributes:
        name: as Python calls it.
        mark: bytes of its byte order mark, which is no part of the text.
        how: it was found: 'given', 'byte order mark', 'valid' or 'detected'.
    """

    name: str
    mark: int = 0
    how: str = "valid"

    @property
    def told(self) -> str:
        """For people; empty for plain UTF-8."""
        if self.name == "utf-8" and not self.mark:
            return ""
        more = {"given": "as given", "detected": "detected; another: --encoding NAME"}.get(self.how, self.how)
        return f"{self.name} ({more})"


def decode(data: bytes, name: str, given: str = "", *, what: str = "text") -> tuple[str, Encoding, list[str]]:
    """The text in some bytes.

    Args:
        data: of a whole file.
        name: of the file, for errors.
        given: encoding that a person has named; empty: found out.
        what: it is to be, 'text' or 'table'.
    Returns:
        the text without its mark, its encoding, and notes.
    Raises:
        DataError: binary data, an unknown encoding, or one that does not fit.
    """
    found = find(data, name, given, what=what)
    body = memoryview(data)[found.mark :]
    if found.how != "given":
        return str(body, found.name), found, []
    text = str(body, found.name, "replace")
    lost = text.count("\N{REPLACEMENT CHARACTER}")
    if lost > max(1, MOST_REPLACED * len(text)) or "\0" in text:
        raise DataError(f"{name} is not in the encoding {found.name} that --encoding gives; name another one")
    return text, found, [f"{name}: {lost:,} bytes have no character in {found.name}, read as �"] if lost else []


def find(data: bytes, name: str, given: str = "", *, what: str = "text") -> Encoding:
    """The encoding of some bytes; see `decode`."""
    if given:
        return _given(data, given)
    if said := foreign.binary(data):
        raise DataError(f"{name} {said}")
    for mark, encoding in MARKS:
        if data.startswith(mark):
            _check(data[len(mark) :], encoding, name)
            return Encoding(encoding, len(mark), "byte order mark")
    if b"\0" in data:
        return _of_two_bytes(data, name, what)
    if data.isascii():
        return Encoding("utf-8")
    try:
        codecs.decode(data, "utf-8")
        return Encoding("utf-8")
    except UnicodeDecodeError as error:
        _refuse_damaged(data, name, error.start)
        return _of_one_byte(data, name, error.start)


def _given(data: bytes, given: str) -> Encoding:
    try:
        encoding = codecs.lookup(given.strip()).name
        b"".decode(encoding)  # refuses what makes no text of bytes
    except (LookupError, ValueError):
        raise DataError(
            f"--encoding '{one_line(given, 40)}' is unknown; usual ones: utf-8, utf-16, cp1252, gb18030"
        ) from None
    mark = next((mark for mark, of in MARKS if data.startswith(mark) and encoding in (of, of[:6], "utf-8-sig")), b"")
    of = next((of for each, of in MARKS if mark and each == mark), encoding)
    if of in ("utf-16", "utf-32"):  # no mark tells the order of its bytes: the usual one
        of += "-le"
    return Encoding(of, len(mark), "given")


def _check(data: bytes, encoding: str, name: str) -> None:
    try:
        str(data, encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} begins with the byte order mark of {encoding}, but is not valid at byte offset "
            f"{error.start:,}; convert it, or name another encoding with --encoding"
        ) from None


def _of_two_bytes(data: bytes, name: str, what: str) -> Encoding:
    """UTF-16 without a mark: zeros in every other place, or the same few bytes; raises DataError for binary data."""
    head = data[: SAMPLE & ~1]
    even, odd = head[::2].count(0), head[1::2].count(0)
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(data) % 2 == 0 and zeros > MOST_ZEROS * (len(head) // 2) and others < 0.01 * len(head):
            try:
                str(data, encoding)
                return Encoding(encoding, how="detected")
            except UnicodeDecodeError:
                break
    for high, encoding in ((head[1::2], "utf-16-le"), (head[::2], "utf-16-be")):
        if len(head) > FEW and len(set(high)) <= MOST_PAGES and _is_plain(_decoded(data, encoding)):
            return Encoding(encoding, how="detected")
    advice = "name its encoding with --encoding, or learn its bytes with --tokens byte"
    advice = advice if what == "text" else f"it is no {what}"
    raise DataError(f"{name} is binary (a zero byte at offset {data.index(0):,}); {advice}")


def _is_plain(text: str | None) -> bool:
    """Whether a text has nothing but characters that can be printed, blanks among them, and ends of lines."""
    if text is None or not any(ch in "\n\t " for ch in text[:SAMPLE]):
        return False
    return all(ch.isprintable() or ch in "\r\n\t" for ch in text[:SAMPLE])


def _refuse_damaged(data: bytes, name: str, first: int) -> None:
    """Raise DataError where nearly all of a text is UTF-8: it is damaged, and not in another encoding."""
    characters = len(re.findall(rb"[\xc2-\xf4][\x80-\xbf]+", data))
    wrong = codecs.decode(data, "utf-8", "replace").count("\N{REPLACEMENT CHARACTER}")
    if characters > 10 * wrong:
        line = data.count(b"\n", 0, first) + 1
        raise DataError(
            f"{name} is UTF-8 except for {wrong:,} places, the first in line {line:,}, at byte offset {first:,}; "
            "correct it, or read each as � with --encoding utf-8"
        )


def _of_one_byte(data: bytes, name: str, first: int) -> Encoding:
    """One of eight bits, or of two for East Asian texts, by the lines that are not ASCII."""
    sample = _not_ascii(data)
    western = _decoded(sample, "cp1252")
    few = sum(byte > 127 for byte in sample) < FEW
    if few and western is not None and _is_western(western + str(data[:SAMPLE], "ascii", "ignore")):
        return Encoding("cp1252", how="detected")
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=CANDIDATES).best()
    found = _likelier("" if best is None else str(best.encoding), sample)
    if western is not None and found and _decoded(sample, found) == western:
        found = "cp1252"
    if not found or _decoded(data, found) is None:
        raise DataError(
            f"{name} is not UTF-8 (at byte offset {first:,}), and its encoding cannot be detected; name it, "
            "such as with --encoding cp1252"
        )
    return Encoding(codecs.lookup(found).name, how="detected")


def _likelier(found: str, sample: bytes) -> str:
    """An encoding in which no word is odd, where there are odd words in the one that statistics have found, or none
    was found: those of the same languages differ in a few signs and letters."""
    text = _decoded(sample, found) if found else None
    if text is not None and (found not in SINGLE or not _oddities(text)):
        return found
    if not found and len({byte for byte in sample if byte > 127}) < LEAST_DIFFERENT:
        return ""  # too few for a guess that statistics do not make
    counts = {other: _oddities(text) for other in SINGLE if (text := _decoded(sample, other)) is not None}
    least = min(counts, key=counts.__getitem__, default=found)
    return least if counts and not counts[least] else found


def _oddities(text: str) -> int:
    """Pairs of neighbours that words do not have: a sign before a letter, a capital after a small letter, two
    alphabets; none of them ASCII alone."""
    count = 0
    for first, second in itertools.pairwise(text[:MOST_WORDS]):
        if not second.isalpha() or (first < "\x80" and second < "\x80"):
            continue
        if first.isalpha():
            count += (first.islower() and second.isupper()) or _alphabet(first) != _alphabet(second)
        else:
            count += first > "\x80" and first not in OPENING and not unicodedata.combining(first)
    return count


def _alphabet(letter: str) -> str:
    """Of a letter, as Unicode names it."""
    return unicodedata.name(letter, "").split(" ")[0]


def _not_ascii(data: bytes) -> bytes:
    """Lines with bytes above 127, as many as `SAMPLE` holds; the beginning where there are no lines."""
    lines, size = [], 0
    for found in re.finditer(rb"[^\n]*[\x80-\xff][^\n]*\n?", data):
        lines.append(found[0][:SAMPLE])
        size += len(lines[-1])
        if size >= SAMPLE:
            break
    return b"".join(lines)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return str(data, encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _is_western(text: str) -> bool:
    """Whether what is not ASCII are letters among ASCII's, or usual signs that stand in no word."""
    letters, accented = sum(map(str.isalpha, text)), 0
    for i, ch in enumerate(text):
        if WESTERN.match(ch):
            accented += ord(ch) > 127
        elif ord(ch) > 127:
            in_word = text[i - 1 : i].isalpha() and text[i + 1 : i + 2].isalpha()
            if ch not in USUAL_SIGNS or (in_word and ch != "’"):
                return False
    return accented <= 0.5 * letters
