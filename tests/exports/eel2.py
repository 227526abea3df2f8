"""An interpreter of the part of EEL2 that our JSFX are written in: it translates sections to Python, in float64."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

_TOKEN = re.compile(r"\s*(\d+\.?\d*|[A-Za-z_][\w.]*|\+=|-=|\*=|/=|==|!=|<=|>=|&&|\|\||[-+*/^<>=?:;(),])")
_ASSIGN = ("=", "+=", "-=", "*=", "/=")
_LEVELS = (("||",), ("&&",), ("==", "!=", "<", ">", "<=", ">="), ("+", "-"), ("*", "/"), ("^",))


class _Parser:
    """Translates statements to one Python expression on the dictionary `v`."""

    def __init__(self, text: str, functions: set[str], local: tuple[str, ...] = ()) -> None:
        self.tokens: list[str] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"EEL2: cannot read {text[place : place + 20]!r}")
            self.tokens.append(match[1])
            place = match.end()
        self.functions, self.local = functions, local

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str = "") -> str:
        token = self.tokens.pop(0)
        if expected and token != expected:
            raise ValueError(f"EEL2: {expected!r} expected, got {token!r}")
        return token

    def block(self) -> str:
        parts = []
        while self.tokens and self.peek() != ")":
            parts.append(self.expression())
            while self.peek() == ";":
                self.take()
        return f"({', '.join(parts)},)[-1]" if parts else "0.0"

    def expression(self) -> str:
        if len(self.tokens) > 1 and self.tokens[1] in _ASSIGN:
            name, sign = self.take(), self.take()
            value = self.expression()
            value = value if sign == "=" else f"({self.name(name)} {sign[0]} {value})"
            return f"put(v, {name!r}, {value})"
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        yes, no = self.expression(), "0.0"
        if self.peek() == ":":
            self.take()
            no = self.expression()
        return f"({yes} if {condition} else {no})"

    def binary(self, level: int) -> str:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _LEVELS[level]:
            sign = {"^": "**", "&&": "and", "||": "or"}.get(token := self.take(), token)
            left = f"({left} {sign} {self.binary(level + 1)})"
        return left

    def unary(self) -> str:
        token = self.take()
        if token == "-":
            return f"(-{self.unary()})"
        if token == "(":
            inner = self.block()
            self.take(")")
            return inner
        if self.peek() == "(":
            if token not in self.functions:
                raise ValueError(f"EEL2: unknown function {token!r}")
            self.take()
            arguments = [self.expression()]
            while self.peek() == ",":
                self.take()
                arguments.append(self.expression())
            self.take(")")
            return f"{token}({', '.join(arguments)})"
        return token if token[0].isdigit() else self.name(token)

    def name(self, name: str) -> str:
        return f"v[{name!r}]"


class _Variables(dict[str, float]):
    def __missing__(self, name: str) -> float:
        return 0.0


def _put(variables: _Variables, name: str, value: float) -> float:
    variables[name] = value
    return value


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
        self.space = {"put": _put, "exp": math.exp, "log": math.log, "abs": abs, "min": min, "max": max}
        self.variables = self.space["v"] = _Variables(srate=float(sample_rate))
        for number, default in re.findall(r"^slider(\d+):([-\d.]+)<", head, re.MULTILINE):
            self.variables[f"slider{number}"] = float(default)
        for number, value in sliders.items():
            if f"slider{number}" not in self.variables:
                raise ValueError(f"{path.name}: there is no slider {number}")
            self.variables[f"slider{number}"] = float(f"{value:.6f}")  # as a project holds it
        init = re.sub(
            r"function (\w+)\(([^)]*)\)(?: local\(([^)]*)\))? \(\n(.*?)\n\);",
            self._define,
            sections.get("init", ""),
            flags=re.DOTALL,
        )
        exec(self._compile(init), self.space)
        exec(self._compile(sections.get("slider", "")), self.space)
        self.sample = self._compile(sections["sample"])

    def _define(self, match: re.Match[str]) -> str:
        name, arguments = match[1], [argument.strip() for argument in match[2].split(",")]
        code = compile(_Parser(match[4], set(self.space)).block(), name, "eval")

        def function(*values: float) -> float:
            local = _Variables(self.variables) | dict(zip(arguments, values, strict=True))
            return eval(code, {**self.space, "v": _Variables(local)})

        self.space[name] = function
        return ""

    def _compile(self, text: str):
        return compile(_Parser(text, set(self.space)).block(), "jsfx", "eval")

    def run(self, audio: np.ndarray) -> np.ndarray:
        """Runs (2 or 4, L); returns (2, L)."""
        out = np.empty((2, audio.shape[1]))
        for i, frame in enumerate(audio.T.tolist()):
            for channel, value in enumerate(frame):
                self.variables[f"spl{channel}"] = value
            eval(self.sample, self.space)
            out[:, i] = self.variables["spl0"], self.variables["spl1"]
        return out
