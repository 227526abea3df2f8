"""An interpreter of the part of EEL2 that our JSFX are written in: it compiles sections to Python, in float64.

It holds to what the documentation of JSFX states: names do not depend on case, `==` and conditions have a tolerance of
0.00001, addresses are rounded down after 0.00001 is added, transforms take 16 to 32768 numbers in an order that callers
may not rely on, neither they nor `convolve_c` cross a border of 65,536 items, and a loop turns at most a million times.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

_TOKEN = re.compile(r'\s*("[^"]*"|\d+\.?\d*|#?[A-Za-z_][\w.]*|\+=|-=|\*=|/=|==|!=|<=|>=|&&|\|\||[-+*/^<>=?:;(),\[\]!])')
_ASSIGN = ("=", "+=", "-=", "*=", "/=")
_LEVELS = (("||", "&&"), ("==", "!=", "<", ">", "<=", ">="), ("+", "-"), ("*", "/"), ("^",))
_COMPARE = ("==", "!=", "<", ">", "<=", ">=", "&&", "||")
_FUNCTION = re.compile(r"function (\w+)\(([^)]*)\)(?: local\(([^)]*)\))? \(\n(.*?)\n\);", re.DOTALL)
_NEAR, _BORDER, _MOST_TURNS = 0.00001, 65536, 1_000_000
_SLOTS = 1 << 22


class _Parser:
    """Translates statements to Python expressions; `names` collects the variables that they have."""

    def __init__(self, text: str, functions: set[str]) -> None:
        self.tokens: list[str] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"EEL2: cannot read {text[place : place + 20]!r}")
            self.tokens.append(match[1])
            place = match.end()
        self.functions = functions
        self.names: set[str] = set()

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str = "") -> str:
        token = self.tokens.pop(0)
        if expected and token != expected:
            raise ValueError(f"EEL2: {expected!r} expected, got {token!r}")
        return token

    def statements(self) -> list[str]:
        parts = []
        while self.tokens and self.peek() not in (")", ","):
            parts.append(self.expression())
            while self.peek() == ";":
                self.take()
        return parts

    def block(self) -> str:
        parts = self.statements()
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)},)[-1]" if parts else "0.0"

    def expression(self) -> str:
        start = self.binary(0)
        if self.peek() in _ASSIGN:
            return self.assignment(start)
        if self.peek() != "?":
            return start
        self.take()
        yes, no = self.expression(), "0.0"
        if self.peek() == ":":
            self.take()
            no = self.expression()
        return f"({yes} if {self.truth(start)} else {no})"

    def assignment(self, target: str) -> str:
        sign = self.take()
        value = self.expression()
        if sign != "=":
            value = f"({target} {sign[0]} {value})"
        if target in self.names:
            return f"({target} := {value})"
        if not target.startswith("memory["):
            raise ValueError(f"EEL2: {target!r} cannot be assigned to")
        return f"put({target.removeprefix('memory[').removesuffix(']')}, {value})"

    @staticmethod
    def truth(code: str) -> str:
        return code if code.startswith("(True and ") else f"abs({code}) >= {_NEAR}"

    def binary(self, level: int) -> str:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _LEVELS[level]:
            sign = self.take()
            right = self.binary(level + 1)
            if sign in ("==", "!="):
                left = f"(True and abs({left} - {right}) {'<' if sign == '==' else '>='} {_NEAR})"
            elif sign in ("&&", "||"):
                word = {"&&": "and", "||": "or"}[sign]
                left = f"(True and ({self.truth(left)} {word} {self.truth(right)}))"
            elif sign in _COMPARE:
                left = f"(True and {left} {sign} {right})"
            else:
                left = f"({left} {'**' if sign == '^' else sign} {right})"
        return left

    def unary(self) -> str:
        token = self.take()
        if token == "-":
            return f"(-{self.unary()})"
        if token == "(":
            inner = self.block()
            self.take(")")
            return self.indexed(inner)
        if self.peek() == "(":
            return self.call(token.lower())
        if token[0].isdigit():
            return self.indexed(f"{token}.0" if token.isdecimal() else token)
        if token[0] == '"':
            return repr(token[1:-1])
        return self.indexed(self.name(token))

    def indexed(self, base: str) -> str:
        if self.peek() != "[":
            return base
        self.take()
        offset = self.expression()
        self.take("]")
        return f"memory[int({base} + {offset} + {_NEAR})]"

    def call(self, function: str) -> str:
        if function not in self.functions:
            raise ValueError(f"EEL2: unknown function {function!r}")
        self.take("(")
        arguments = []
        while self.peek() != ")":
            arguments.append(self.block())
            if self.peek() == ",":
                self.take()
        self.take(")")
        if function == "loop":
            return f"len([{arguments[1]} for _ in turns({arguments[0]})])"
        if function == "sprintf":
            return f"({arguments[0]} := format_text({', '.join(arguments[1:])}))"
        if function == "file_riff":
            handle, channels, rate = arguments
            return f"(({channels} := {handle}_channels()), ({rate} := {handle}_rate()))[-1]".replace(
                f"{handle}_channels()", f"files[int({handle})].channels"
            ).replace(f"{handle}_rate()", f"files[int({handle})].rate")
        return f"f_{function}({', '.join(arguments)})"

    def name(self, name: str) -> str:
        code = f"v_{name.lower().replace('#', 'text_')}"
        self.names.add(code)
        return code


class _File:
    """A media file that is being read: all its samples, channel after channel in each frame."""

    def __init__(self, path: Path) -> None:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        self.channels, self.rate = float(samples.shape[1]), float(rate)
        self.items: list[float] = samples.astype(np.float64).ravel().tolist()


class Effect:
    """A JSFX, run on audio.

    Args:
        path: the file.
        sliders: values by number; the others have their defaults.
        sample_rate: in Hz.
    """

    def __init__(self, path: Path, sliders: dict[int, float], sample_rate: int) -> None:
        head, *parts = re.split(r"^@(\w+).*\n", re.sub(r"//.*", "", path.read_text()), flags=re.MULTILINE)
        sections = dict(zip(parts[::2], parts[1::2], strict=True))
        self.folder = path.parent
        self.memory: list[float] = [0.0] * _SLOTS if "[" in sections["sample"] else []
        self.files: list[_File] = []
        self.space: dict[str, Any] = self._library()
        self.channels = len(re.findall(r"^in_pin:", head, re.MULTILINE)) or 2
        self.space["v_srate"] = float(sample_rate)
        for number, default in re.findall(r"^slider(\d+):([-\d.]+)<", head, re.MULTILINE):
            self.space[f"v_slider{number}"] = float(default)
        for number, value in sliders.items():
            if f"v_slider{number}" not in self.space:
                raise ValueError(f"{path.name}: there is no slider {number}")
            self.space[f"v_slider{number}"] = float(f"{value:.6f}")  # as a project holds it
        functions = {name.removeprefix("f_") for name in self.space if name.startswith("f_")}
        self.functions = functions | {"loop", "sprintf", "file_riff"}
        self.run_section(_FUNCTION.sub(self._define, sections.get("init", "")))
        self.run_section(sections.get("slider", ""))
        self.sample = self._compile("sample", _Parser(sections["sample"], self.functions))

    def __getitem__(self, name: str) -> float:
        """The value of a variable."""
        return float(self.space.get(f"v_{name}", 0.0))

    def run_section(self, text: str) -> None:
        self._compile("section", _Parser(text, self.functions))()

    def _define(self, match: re.Match[str]) -> str:
        parameters, local = (
            [f"v_{name.strip().lower()}" for name in (part or "").split(",") if name.strip()]
            for part in (match[2], match[3])
        )
        self.functions.add(match[1].lower())
        name = f"f_{match[1].lower()}"
        self.space[name] = self._compile(name, _Parser(match[4], self.functions), parameters, local)
        return ""

    def _compile(self, name: str, parser: _Parser, parameters: list[str] = (), local: list[str] = ()):  # type: ignore
        lines = parser.statements()
        if parser.tokens:
            raise ValueError(f"EEL2: {parser.peek()!r} is left over")
        shared = sorted(parser.names - set(parameters) - set(local))
        for variable in shared:
            self.space.setdefault(variable, 0.0)
        body = [f"global {', '.join(shared)}"] if shared else []
        body += (
            [f"{variable} = not_set" for variable in local] + lines[:-1] + [f"return {lines[-1]}" if lines else "pass"]
        )
        source = f"def {name}({', '.join(parameters)}):\n" + "\n".join(f"    {line}" for line in body)
        exec(source, self.space)
        return self.space[name]

    def _library(self) -> dict[str, Any]:
        memory = self.memory

        def put(address: int, value: float) -> float:
            memory[address] = value
            return value

        def turns(count: float) -> range:
            assert count <= _MOST_TURNS, f"a loop of {count:g} turns"
            return range(int(count))

        def numbers(start: float, size: float) -> tuple[slice, np.ndarray]:
            first, length = int(start + _NEAR), 2 * int(size)
            assert first // _BORDER == (first + length - 1) // _BORDER, f"{first} to {first + length} cross a border"
            place = slice(first, first + length)
            return place, np.array(memory[place]).view(np.complex128)

        def transform(start: float, size: float, inverse: bool) -> None:
            assert int(size) in [2**n for n in range(4, 16)], f"a transform of {size:g} numbers"
            place, values = numbers(start, size)
            order = np.random.default_rng(int(size)).permutation(int(size))
            if inverse:
                ordered = np.empty_like(values)
                ordered[order] = values
                values = np.fft.ifft(ordered) * len(values)
            else:
                values = np.fft.fft(values)[order]
            memory[place] = values.view(np.float64).tolist()

        def convolve_c(target: float, source: float, size: float) -> None:
            place, values = numbers(target, size)
            memory[place] = (values * numbers(source, size)[1]).view(np.float64).tolist()

        def memcpy(target: float, source: float, length: float) -> None:
            first, start, count = (int(x + _NEAR) for x in (target, source, length))
            assert first >= start + count or start >= first + count, "memcpy of parts that overlap"
            memory[first : first + count] = memory[start : start + count]

        def memset(target: float, value: float, length: float) -> None:
            first, count = int(target + _NEAR), int(length)
            memory[first : first + count] = [value] * count

        def file_open(name: str) -> float:
            if not (self.folder / name).is_file():
                return -1.0
            self.files.append(_File(self.folder / name))
            return float(len(self.files) - 1)

        def file_mem(handle: float, target: float, length: float) -> None:
            first, count = int(target + _NEAR), int(length)
            items = self.files[int(handle)].items[:count]
            memory[first : first + len(items)] = items

        functions = {
            **{"exp": math.exp, "log": math.log, "abs": abs, "min": min, "max": max, "floor": math.floor},
            **{"ceil": math.ceil, "memcpy": memcpy, "memset": memset, "convolve_c": convolve_c},
            "fft": lambda start, size: transform(start, size, False),
            "ifft": lambda start, size: transform(start, size, True),
            **{"file_open": file_open, "file_mem": file_mem, "file_close": lambda handle: 0.0},
            "file_avail": lambda handle: float(len(self.files[int(handle)].items)),
        }
        space: dict[str, Any] = {f"f_{name}": function for name, function in functions.items()}
        space["not_set"] = math.nan  # local variables keep what an earlier call left: nothing may rely on it
        space |= {"put": put, "turns": turns, "memory": memory, "files": self.files}
        space["format_text"] = lambda text, *values: text % tuple(int(v) for v in values)
        return space

    def run(self, audio: np.ndarray) -> np.ndarray:
        """Runs (2 or more, L); returns as many channels."""
        names = [f"v_spl{channel}" for channel in range(len(audio))]
        space, sample = self.space, self.sample
        out = []
        for frame in audio.T.tolist():
            for name, value in zip(names, frame, strict=True):
                space[name] = value
            sample()
            out.append([space[name] for name in names])
        return np.array(out).T
