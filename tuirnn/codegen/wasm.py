"""WebAssembly in its binary form: functions of instructions, a memory with its contents, exports.

Source: WebAssembly Core Specification 2.0, "Binary Format", whose vectors of 128 bits are used.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

I32, V128 = 0x7F, 0x7B
"""Types of values, as the format numbers them: addresses and loop counters; four float32."""

PAGE = 65_536
"""Bytes of a page of memory."""

PLAIN = {
    "loop": 0x03, "end": 0x0B, "br_if": 0x0D, "call": 0x10, "local.get": 0x20, "local.set": 0x21, "i32.const": 0x41,
    "i32.lt_u": 0x49, "i32.add": 0x6A, "i32.mul": 0x6C,
}  # fmt: skip
BULK = {"memory.copy": 10}
VECTOR = {
    "v128.load": 0, "v128.load32_splat": 9, "v128.store": 11, "v128.const": 12, "f32x4.ne": 66, "f32x4.gt": 68,
    "v128.and": 78, "v128.bitselect": 82, "i32x4.shl": 171, "i32x4.add": 174, "f32x4.abs": 224,
    "f32x4.neg": 225, "f32x4.sqrt": 227, "f32x4.add": 228, "f32x4.sub": 229, "f32x4.mul": 230, "f32x4.div": 231,
    "f32x4.min": 232, "f32x4.max": 233, "i32x4.trunc_sat_f32x4_s": 248, "f32x4.nearest": 106,
}  # fmt: skip
EMPTY_BLOCK = 0x40
"""Type of a loop that takes and leaves no values."""


def unsigned(value: int) -> bytes:
    """LEB128 of a number that is not negative."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def signed(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value & 127])


def _vector(items: Sequence[bytes]) -> bytes:
    return unsigned(len(items)) + b"".join(items)


@dataclass
class Function:
    """The instructions of a function of so many i32 parameters, its first locals, that returns nothing."""

    parameters: int
    _locals: list[int] = field(default_factory=list)
    _body: bytearray = field(default_factory=bytearray)

    def local(self, kind: int) -> int:
        """A new local variable."""
        self._locals.append(kind)
        return self.parameters + len(self._locals) - 1

    def op(self, name: str, *immediates: int) -> None:
        """Append an instruction; addresses of memory take an offset, local instructions a number, loops their type."""
        if name == "i32.const":
            self._body += bytes([PLAIN[name]]) + signed(immediates[0])
        elif name in PLAIN:
            self._body += bytes([PLAIN[name]]) + b"".join(map(unsigned, immediates))
        elif name in BULK:
            self._body += b"\xfc" + unsigned(BULK[name]) + b"\0\0"
        else:
            self._body += b"\xfd" + unsigned(VECTOR[name])
            if "load" in name or "store" in name:
                self._body += unsigned(2) + unsigned(immediates[0])  # aligned to 4 bytes

    def number(self, value: float) -> int:
        """A local vector of four times a float32."""
        self._body += b"\xfd" + unsigned(VECTOR["v128.const"]) + struct.pack("<f", value) * 4
        return self.keep(V128)

    def keep(self, kind: int) -> int:
        """A new local with the value on the stack."""
        made = self.local(kind)
        self.op("local.set", made)
        return made

    def do(self, name: str, *operands: int, kind: int = V128) -> int:
        """Apply an instruction to locals; returns the local with its result."""
        for operand in operands:
            self.op("local.get", operand)
        self.op(name)
        return self.keep(kind)

    def load(self, address: int, offset: int, name: str = "v128.load") -> int:
        """A local with what is in memory at a local's address and an offset."""
        self.op("local.get", address)
        self.op(name, offset)
        return self.keep(V128)

    def store(self, address: int, offset: int, value: int) -> None:
        """Store a local's four numbers at a local's address and an offset."""
        self.op("local.get", address)
        self.op("local.get", value)
        self.op("v128.store", offset)

    def advance(self, local: int, by: int) -> None:
        """Add a number to an i32."""
        self.op("local.get", local)
        self.op("i32.const", by)
        self.op("i32.add")
        self.op("local.set", local)

    def repeat_below(self, local: int, limit: int) -> None:
        """End a loop: go to its start again if one i32 is below another."""
        self.op("local.get", local)
        self.op("local.get", limit)
        self.op("i32.lt_u")
        self.op("br_if", 0)
        self.op("end")

    def encoded(self) -> bytes:
        """The function's entry in the code section."""
        body = _vector([unsigned(1) + bytes([kind]) for kind in self._locals]) + bytes(self._body) + b"\x0b"
        return unsigned(len(body)) + body


@dataclass
class Module:
    """Functions and a memory, which is exported as `memory`."""

    functions: list[Function] = field(default_factory=list)

    def add(self, function: Function) -> int:
        """Add a function; returns its number."""
        self.functions.append(function)
        return len(self.functions) - 1

    def encoded(self, exports: Mapping[str, int], numbers: Mapping[str, int], contents: bytes, size: int) -> bytes:
        """The module.

        Args:
            exports: name -> number of a function.
            numbers: name -> value of an exported i32, such as an address.
            contents: of the memory from address 0 on.
            size: of the memory in bytes, at least.
        """
        pages = unsigned(-(-max(size, 1) // PAGE))
        types = [b"\x60" + _vector([bytes([I32])] * each.parameters) + _vector([]) for each in self.functions]
        globals_ = [bytes([I32, 0, PLAIN["i32.const"]]) + signed(value) + b"\x0b" for value in numbers.values()]
        named = [("memory", 2, 0), *((name, 0, i) for name, i in exports.items())]
        named += [(name, 3, i) for i, name in enumerate(numbers)]
        entries = [unsigned(len(name)) + name.encode() + bytes([kind]) + unsigned(i) for name, kind, i in named]
        data = b"\0" + bytes([PLAIN["i32.const"], 0, 0x0B]) + unsigned(len(contents)) + contents
        sections = {
            1: _vector(types),
            3: _vector([unsigned(i) for i in range(len(self.functions))]),
            5: _vector([b"\x01" + pages + pages]),
            6: _vector(globals_),
            7: _vector(entries),
            10: _vector([function.encoded() for function in self.functions]),
            11: _vector([data]),
        }
        parts = (bytes([number]) + unsigned(len(body)) + body for number, body in sections.items())
        return b"\0asm" + struct.pack("<I", 1) + b"".join(parts)
