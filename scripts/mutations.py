"""The ways to change a line of code so that its meaning changes."""

import ast
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Mutation(NamedTuple):
    """One changed line: where, what it says now, and the whole module with the change."""

    function: str
    line: int
    text: str
    tree: ast.Module


def mutations(source: str) -> Iterator[Mutation]:
    """Return one mutation for each line of a function that can be changed."""
    for function, line in _lines(ast.parse(source)):
        tree = ast.parse(source)
        changed = _change_line(tree, line)
        if changed is not None:
            yield Mutation(function, line, ast.unparse(changed).split("\n")[0], tree)


def _lines(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Return the lines of functions and methods, under the name of the outermost."""
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef) and member.name != "__repr__":
                first = 1 if ast.get_docstring(member) else 0
                inner = [each for part in member.body[first:] for each in ast.walk(part)]
                lines = {each.lineno for each in inner if isinstance(each, ast.stmt | ast.expr)}
                yield from ((f"{prefix}{member.name}", line) for line in sorted(lines))


def _change_line(tree: ast.Module, line: int) -> ast.AST | None:
    for change in _CHANGES:
        for node in ast.walk(tree):
            if getattr(node, "lineno", None) == line and change(node):
                ast.fix_missing_locations(tree)
                return node
    return None


def _boundary(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPPOSITES:
        node.ops[0] = _OPPOSITES[type(node.ops[0])]()
        return True
    return False


def _junction(node: ast.AST) -> bool:
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return True
    return False


def _condition(node: ast.AST) -> bool:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), copy.deepcopy(node.test))
        return True
    if isinstance(node, ast.comprehension) and node.ifs:
        node.ifs = []
        return True
    return False


def _filter(node: ast.AST) -> bool:
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return _condition(node.generators[0])
    return False


def _negation(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)
        return True
    return False


def _arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return True
    return False


def _constant(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
        return True
    return False


def _order(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "reversed":
        node.func = ast.Name("list", ast.Load())
        return True
    return False


def _deed(node: ast.AST) -> bool:
    """What is done is left undone."""
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
        node.value = ast.Constant(None)
        return True
    if isinstance(node, ast.Raise):
        node.exc, node.cause = ast.parse("AssertionError()", mode="eval").body, None
        return True
    return False


def _value(node: ast.AST) -> bool:
    """Nothing instead of something."""
    if isinstance(node, ast.Assign | ast.Return | ast.AnnAssign) and node.value is not None:
        is_nothing = isinstance(node.value, ast.Constant) and node.value.value is None
        node.value = ast.Constant("nonsense" if is_nothing else None)
        return True
    if isinstance(node, ast.Return):
        node.__class__ = ast.Pass  # type: ignore[assignment]  # in place, it has no value
        return True
    if isinstance(node, ast.AugAssign):
        node.value = ast.Constant(0)
        return True
    return False


_CHANGES: list[Callable[[ast.AST], bool]] = [
    _order,
    _boundary,
    _junction,
    _negation,
    _filter,
    _condition,
    _arithmetic,
    _constant,
    _deed,
    _value,
]
