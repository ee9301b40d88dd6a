"""The mutants of a module: its source with one small change each.

The changes are the operators of mutmut, three of them reduced (a string is changed once, a positional argument becomes
None, a keyword argument is omitted), and four of our own: a call that is a statement is omitted, a raise is omitted, a
function returns None, and a condition without an operator is negated.

Code that computes nothing is not changed: docstrings, annotations and type aliases, imports, ``__all__``, ``__repr__``
and ``__str__``; the arguments of raised errors, warnings and log messages; arguments and variables named what, hint,
words or message (or with a name that ends so) and such_as; the names that functions of `bsv_store.check` get for their
messages; and the keywords of dataclasses that only restrict their use or concern ``repr`` (frozen, slots, kw_only,
repr).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation import mutators


@dataclass(frozen=True)
class Mutation:
    """A mutant of a module.

    Attributes
    ----------
    path : str
        Of the module, relative to the checkout.
    function : str
        Qualified name of the outermost function with the change; empty if it is in the body of a module or class.
    before, after : str
        The changed lines, without indentation.
    nth : int
        From 0; distinguishes equal changes in one function.
    lines : range
        The lines of the changed statement, from 1.
    source : str
        The whole module with the change.
    """

    path: str
    function: str
    before: str
    after: str
    nth: int
    lines: range
    source: str

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What identifies the mutant while the lines around it change."""
        return self.path, self.function, self.before, self.after, self.nth


def mutations_of(checkout: Path, path: str) -> list[Mutation]:
    """All mutants of a module, in the order of its lines."""
    source = (checkout / path).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Visitor(wrapper.module, source)
    wrapper.visit(visitor)
    original = ast.dump(ast.parse(source))
    seen = {original}
    counts: Counter[tuple[str, str, str]] = Counter()
    found = []
    for function, lines, mutated in sorted(visitor.found, key=lambda each: each[1].start):
        try:
            tree = ast.dump(ast.parse(mutated))
        except SyntaxError:
            continue
        if tree in seen:
            continue
        seen.add(tree)
        before, after = _changed(source, mutated)
        place = function, before, after
        found.append(Mutation(path, function, before, after, counts[place], lines, mutated))
        counts[place] += 1
    return found


def _changed(source: str, mutated: str) -> tuple[str, str]:
    old, new = source.splitlines(), mutated.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    first, second = (" ".join(each.strip() for each in lines[start : len(lines) - end]) for lines in (old, new))
    return first, second


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (ByteSpanPositionProvider, PositionProvider)

    def __init__(self, module: cst.Module, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, range, str]] = []
        self._module = module
        self._bytes = source.encode()
        self._names: list[tuple[str, bool]] = []
        self._names_of_values: set[cst.CSTNode] = set()
        self._statements: list[range] = [range(1, 2)]

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_text(node) or node in self._names_of_values:
            return False
        if isinstance(node, cst.Call) and _is_check(node):
            self._names_of_values.add(node.args[0])
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            self._statements.append(self._header(node))
        for mutated in _mutated(node):
            self.found.append((self._function(), self._statements[-1], self._with(node, mutated)))
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            # Decorators and defaults belong to what is around the function.
            for child in (*node.decorators, *([node.params] if isinstance(node, cst.FunctionDef) else node.bases)):
                child.visit(self)
            self._names.append((node.name.value, isinstance(node, cst.FunctionDef)))
            node.body.visit(self)
            self._names.pop()
            self._statements.pop()
            return False
        # What a raise has in it is the text of an error.
        return not isinstance(node, cst.Raise)

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef) or _is_text(original_node):
            return
        if isinstance(original_node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            self._statements.pop()

    def _header(self, node: cst.SimpleStatementLine | cst.BaseCompoundStatement) -> range:
        """The lines of a statement without the statements in it."""
        place = self.get_metadata(PositionProvider, node)
        end = place.end.line
        if isinstance(node, cst.BaseCompoundStatement) and not isinstance(node, cst.Match):
            end = max(place.start.line, self.get_metadata(PositionProvider, node.body).start.line - 1)
        return range(place.start.line, end + 1)

    def _function(self) -> str:
        """The qualified name of the outermost function, or nothing outside of functions."""
        for depth, (_, is_function) in enumerate(self._names):
            if is_function:
                return ".".join(name for name, _ in self._names[: depth + 1])
        return ""

    def _with(self, node: cst.CSTNode, mutated: cst.CSTNode) -> str:
        span = self.get_metadata(ByteSpanPositionProvider, node, None)
        if span is not None:
            end = span.start + span.length
            if self._bytes[span.start : end].decode() == self._module.code_for_node(node):
                new = self._module.code_for_node(mutated)
                return str(self._bytes[: span.start].decode() + new + self._bytes[end:].decode())
        changed = self._module.deep_replace(node, mutated)
        assert isinstance(changed, cst.Module)
        return str(changed.code)


_LOGGERS = ("warn", "warning", "debug", "info", "exception")
_TYPES = (
    "NDArray",
    "Literal",
    "Callable",
    "Mapping",
    "Sequence",
    "Union",
    "Optional",
    "Iterator",
    "dict",
    "list",
    "tuple",
)
# The last part of a name in snake case; "as" is that of such_as.
_TEXTS = ("what", "hint", "words", "message", "as")
_CHECKS = (
    "text",
    "choice",
    "boolean",
    "whole_number",
    "finite_number",
    "identifier",
    "path",
    "duration",
    "past_day",
    "instance",
    "several",
    "point_um",
)
_RESTRICTIONS = ("frozen", "slots", "kw_only", "repr")


def _is_text(node: cst.CSTNode) -> bool:
    """Whether a node and what it contains compute nothing."""
    match node:
        case cst.Annotation() | cst.Import() | cst.ImportFrom() | cst.TypeAlias():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.FunctionDef(name=cst.Name(value="__repr__" | "__str__")):
            return True
        case cst.Arg(keyword=cst.Name(value=name)) if name in _RESTRICTIONS:
            return True
        case cst.Arg(value=cst.Name(value=name)) | cst.Arg(keyword=cst.Name(value=name)) if _is_text_name(name):
            return True
        case cst.Param(name=cst.Name(value=name)) if _is_text_name(name):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]) if _is_text_name(name):
            return True
        case cst.AnnAssign(target=cst.Name(value=name)) if _is_text_name(name):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value="__all__"))]):
            return True
        case cst.Assign(value=cst.Subscript(value=cst.Name(value=name))) if name in _TYPES:
            return True
        case cst.Call(func=cst.Name(value="assert_never" | "TypeVar" | "ParamSpec")):
            return True
        case cst.Call(func=cst.Attribute(attr=cst.Name(value=name))) if name in _LOGGERS:
            return True
    return False


def _is_text_name(name: str) -> bool:
    """Whether a variable holds a text for people, such as hint or _VERIFY_HINT."""
    return name.lower().rpartition("_")[2] in _TEXTS


def _is_check(node: cst.Call) -> bool:
    """Whether it is a call of a function of `bsv_store.check`, with the name of a value for messages."""
    return (
        isinstance(node.func, cst.Name)
        and node.func.value in _CHECKS
        and len(node.args) > 1
        and isinstance(node.args[0].value, cst.SimpleString)
    )


def _mutated(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in _OPERATORS:
        if isinstance(node, kind):
            yield from operator(node)


def _string(node: cst.BaseString) -> Iterable[cst.CSTNode]:
    yield from list(mutators.operator_string(node))[:1]


def _arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    if m.matches(node.func, m.Name("len") | m.Name("isinstance") | m.Name("super")):
        return
    for number, argument in enumerate(node.args):
        if argument.star or _is_text(argument) or (number == 0 and _is_check(node)):
            continue
        if m.matches(node.func, m.Name("cast")) and number == 0:
            continue
        if argument.keyword is not None and len(node.args) > 1:
            yield node.with_changes(args=[*node.args[:number], *node.args[number + 1 :]])
        elif not m.matches(argument.value, m.Name("None")):
            changed = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:number], changed, *node.args[number + 1 :]])


def _statement(node: cst.Expr) -> Iterator[cst.CSTNode]:
    if isinstance(node.value, cst.Call | cst.Await) and not _is_text(node.value):
        yield cst.Pass()


def _raise(node: cst.Raise) -> Iterator[cst.CSTNode]:
    yield cst.Pass()


def _return(node: cst.Return) -> Iterator[cst.CSTNode]:
    if node.value is not None and not m.matches(node.value, m.Name("None")):
        yield node.with_changes(value=cst.Name("None"))


def _condition(node: cst.If | cst.While | cst.CompIf | cst.IfExp) -> Iterator[cst.CSTNode]:
    if isinstance(node.test, cst.Name | cst.Call | cst.Attribute | cst.NamedExpr | cst.Subscript):
        inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        # If, not the block, which is printed with it.
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inner))


_REDUCED = {
    mutators.operator_string: _string,
    mutators.operator_arg_removal: _arguments,
    # For a condition alone, one negation instead of two constants.
    mutators.operator_if_exp: None,
}
_OPERATORS = [
    *(
        (kind, _REDUCED.get(operator, operator))
        for kind, operator in mutators.mutation_operators
        if _REDUCED.get(operator, operator) is not None
    ),
    (cst.Expr, _statement),
    (cst.Raise, _raise),
    (cst.Return, _return),
    (cst.If, _condition),
    (cst.While, _condition),
    (cst.CompIf, _condition),
    (cst.IfExp, _condition),
]
