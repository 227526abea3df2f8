"""Sphinx directives that make reference pages from the code when the pages are built.

- `option-table CLASS [PREFIX]`: every argument of a class, or field of a dataclass, with type, default and the first
  sentence of its description.
- `public-names MODULE`: the documentation of names of a module: those that are listed below it, or its `__all__`.
- `processor-table`, `processor-options`: every registered processor with its parameters, and the options of each.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def load(path: str) -> Any:
    """The object behind a dotted path; the module is everything before the last dot."""
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)


def type_text(annotation: Any) -> str:
    """A type as a reader writes it: values of a Literal by themselves, classes by their names."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is UnionType:
        return " or ".join(map(type_text, get_args(annotation)))
    text = "null" if annotation is type(None) else inspect.formatannotation(annotation)
    return f"`{re.sub(r'[a-z_.]+[.]', '', text)}`"


def default_text(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "needed"
    if dataclasses.is_dataclass(default):
        return "see below"
    if isinstance(default, str):
        return f"`{default}`" if default else "empty"
    return f"`{'null' if default is None else str(default).lower() if isinstance(default, bool) else default}`"


def first_sentence(text: str) -> str:
    """The first sentence of a description, on one line."""
    text = " ".join(text.split())
    return re.split(r"(?<=[.]) (?=[A-Z`])", text)[0]


def rows(kind: type, prefix: str, without: Sequence[str] = ()) -> list[tuple[str, str, str, str]]:
    """(Option, type, default, description) of every argument, in the order of the signature.

    Args:
        kind: its docstring, or that of a class that it inherits from, describes the arguments.
        prefix: of the options' names.
        without: arguments that are left out.

    Raises:
        ValueError: an argument has no description.
    """
    described: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for entry in parse(base.__doc__ or "").params:
            text = entry.description or ""
            if not (text.startswith("see ") and entry.arg_name in described):  # said by the class that it inherits from
                described[entry.arg_name] = text
    types = get_type_hints(kind if dataclasses.is_dataclass(kind) else kind.__init__)
    table = []
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in without:
            continue
        if not described.get(name):
            raise ValueError(f"{kind.__name__}.{name}: no description in the docstring, which the pages are made from")
        default = parameter.default
        if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
            field = next(f for f in dataclasses.fields(kind) if f.name == name)
            default = field.default_factory()
        table.append(
            (f"`{prefix}{name}`", type_text(types[name]), default_text(default), first_sentence(described[name]))
        )
    return table


class OptionTable(SphinxDirective):
    """A table of all options of a class; takes its path and the prefix of the options."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        prefix = self.arguments[1] + "." if len(self.arguments) > 1 else ""
        lines = [("option", "type", "default", "what it is"), ("---",) * 4, *rows(load(self.arguments[0]), prefix)]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return self.parse_text_to_nodes(text)


class PublicNames(SphinxDirective):
    """The documentation of names of a module, from their docstrings: those that are listed, or all of `__all__`."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        lines = []
        for name in list(self.content) or module.__all__:
            member = getattr(module, name)
            if inspect.ismodule(member):
                continue
            kind = "class" if inspect.isclass(member) else "function" if callable(member) else "data"
            block = [f".. auto{kind}:: {module.__name__}.{name}", *(["   :members:"] if kind == "class" else [])]
            lines += [f"### {name}", "", "```{eval-rst}", *block, "```", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Settings as defaults stand by their name alone; fields of a dataclass are described one by one below it."""
    if dataclasses.is_dataclass(obj):
        return "", None
    return signature and re.sub(r"(\w+Settings)\((?:[^()]|\([^()]*\))*\)", r"\1()", signature), returns


def escape_markup(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Shapes such as (nodes, *shape) and |z| are no markup: only backticks are, in the docstrings of this project."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")
            parts[::2] = [re.sub(r"([*|])|(?<=\w)(_)(?=\W|$)", r"\\\1\2", part) for part in parts[::2]]
            lines[number] = "`".join(parts)


class ProcessorTable(SphinxDirective):
    """Every registered processor: letter, name, what it does, and its parameters with their units."""

    def run(self) -> list[nodes.Node]:
        processors = import_module("mixgraph.processors")
        objects = processors.make_processors()
        lines = ["| letter | processor | what it does | parameters |", "| --- | --- | --- | --- |"]
        for kind in sorted(processors.registered().values(), key=lambda kind: kind.letter):
            parameters = ", ".join(
                f"`{name}` ({'x'.join(map(str, declared.shape))}, {declared.unit or 'no unit'})"
                for name, declared in objects[kind.name].specification.items()
            )
            summary = (
                first_sentence((inspect.getdoc(kind) or "").split("\n\n")[0]).replace("|", "\\|").replace("*", "\\*")
            )
            lines.append(f"| `{kind.letter}` | `{kind.name}` | {summary} | {parameters} |")
        return self.parse_text_to_nodes("\n".join(lines))


class ProcessorOptions(SphinxDirective):
    """A table of the constructor's options of every registered processor that has some."""

    def run(self) -> list[nodes.Node]:
        lines = [("processor", "option", "type", "default", "what it is"), ("---",) * 5]
        for name, kind in import_module("mixgraph.processors").registered().items():
            lines += [(f"`{name}`", *row) for row in rows(kind, "", without=("sample_rate",))]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return self.parse_text_to_nodes(text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", escape_markup, priority=400)
    app.add_directive("processor-table", ProcessorTable)
    app.add_directive("processor-options", ProcessorOptions)
    app.add_directive("option-table", OptionTable)
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
