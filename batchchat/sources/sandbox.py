"""The sandbox in which templates and conditions run: Jinja2 without a way out, and with an end.

The only module that imports jinja2, which takes 40 ms: `templates` imports it once a job has a template or a condition.

What Jinja2's own sandbox leaves open is closed here. No value and no output grows over `MAX_CHARS`, the steps, the time
and the text made on the way are bounded, values of the row can't be changed, and nothing gives another text at each run
(addresses of objects, `random`): a request that changes between two runs would be paid twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from jinja2 import meta, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser
from jinja2.runtime import Context, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from batchchat.lossless_json import dumps
from batchchat.sources.sandbox_limits import (
    MAX_INDENT,
    REFUSED_METHODS,
    Meter,
    RenderError,
    bounded_filters,
    bounded_tests,
    check_method,
    check_operator,
    text_size,
)
from batchchat.text.nearest import did_you_mean

__all__ = [
    "MissingError",
    "Program",
    "TemplateSyntaxError",
    "UnexpectedError",
    "parse_condition",
    "parse_template",
]

_RESULT = "batchchat_result"
"""The variable in which a condition leaves its value."""

_GUARDS = {"defined", "undefined", "default", "d"}
_FILE_NAME = "<template>"
_REFUSED_STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
}


class MissingError(Exception):
    """A value is used that is not there: `name`, a variable if `is_variable`, else a part of `owner`.

    `hint` is Jinja2's own sentence, for what has no name.
    """

    def __init__(self, hint: str | None, name: Any, owner: Any, *, is_variable: bool) -> None:
        super().__init__(hint, name)
        self.hint, self.name, self.owner, self.is_variable = hint, name, owner, is_variable


class UnexpectedError(TemplateSyntaxError):
    """Something stands behind a whole expression: `token`."""

    def __init__(self, token: str) -> None:
        super().__init__(token, 1)
        self.token = token


class _Missing(StrictUndefined):
    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        owner = self._undefined_obj
        raise MissingError(self._undefined_hint, self._undefined_name, owner, is_variable=owner is missing)

    def __getattr__(self, name: str) -> Any:
        if name[:2] == name[-2:] == "__":
            raise AttributeError(name)
        return self._fail_with_undefined_error()

    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = _fail_with_undefined_error
    __hash__ = __contains__ = __call__ = __getitem__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _fail_with_undefined_error
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _fail_with_undefined_error
    __mod__ = __rmod__ = __pow__ = __rpow__ = __pos__ = __neg__ = _fail_with_undefined_error
    __lt__ = __le__ = __gt__ = __ge__ = _fail_with_undefined_error
    __int__ = __float__ = __complex__ = _fail_with_undefined_error


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template or condition; `meter` counts what one rendering uses up."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=_Missing, autoescape=False, keep_trailing_newline=False)
        self.meter = Meter()
        for name in ("lipsum", "cycler"):
            del self.globals[name]
        filters: Any = bounded_filters(self.meter, {"tojson": self._tojson})  # Jinja2's types say less
        self.filters = filters
        del self.filters["random"]
        self.filters |= {"_printed": self._printed, "_counted": self._counted, "_joined": self._joined}
        self.filters["_collected"] = self.meter.checked
        tests: Any = bounded_tests(self.meter)
        self.tests = tests

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063
        """Call `__obj`, a method or a macro, if its result is bounded."""
        __self.meter.step()
        check_method(__obj, args, kwargs, __self.meter.charge)
        return __self.meter.checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`, if the result is bounded."""
        check_operator(operator, left, right, self.meter.charge)
        value = super().call_binop(context, operator, left, right)
        return self.meter.checked(value) if isinstance(value, list | tuple) else value

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: of an object of the row its key, before a method of that name."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether `obj.attr` may be used."""
        return attr not in REFUSED_METHODS and super().is_safe_attribute(obj, attr, value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return self.checked(super()._parse(source, name, filename))

    def checked(self, tree: nodes.Template) -> nodes.Template:
        """`tree` with its loops counted and its output checked.

        Raises `TemplateSyntaxError` for what is not taken: other templates, and names of no filter or test.
        """
        for node in tree.find_all(tuple(_REFUSED_STATEMENTS)):
            name = _REFUSED_STATEMENTS[type(node)]
            raise TemplateSyntaxError(f"`{{% {name} %}}` is not taken: a template is one text", node.lineno)
        for node in tree.find_all((nodes.Filter, nodes.Test)):
            self._check_name(node)
        for output in list(tree.find_all(nodes.Output)):
            output.nodes = [
                part if isinstance(part, nodes.TemplateData) else _filter(part, "_printed", nodes.Const(_source(part)))
                for part in output.nodes
            ]
        for loop in list(tree.find_all(nodes.For)):
            fixed = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
            loop.iter = _filter(loop.iter, "_counted", nodes.Const(fixed))
        _replace_values(tree)
        return tree

    def _check_name(self, node: nodes.Node) -> None:
        is_filter = isinstance(node, nodes.Filter)
        assert isinstance(node, nodes.Filter | nodes.Test)
        names: Mapping[str, Any] = self.filters if is_filter else self.tests
        if node.name in names:
            return
        if is_filter and node.name == "random":
            raise TemplateSyntaxError("`random` is not taken: it would give another text at each run", node.lineno)
        public = [name for name in names if not name.startswith("_")]
        kind = "filter" if is_filter else "test"
        raise TemplateSyntaxError(f"there is no {kind} `{node.name}`.{did_you_mean(node.name, public)}", node.lineno)

    def _counted(self, iterable: Iterable[Any], fixed: int) -> Iterator[Any]:
        """The items of a loop; each prints `fixed` characters of the template's own."""
        iterator = iter(iterable)  # an undefined value fails here, on its line
        return self._items(iterator, fixed)

    def _items(self, iterator: Iterator[Any], fixed: int) -> Iterator[Any]:
        for item in iterator:
            self.meter.step()
            self.meter.printed(fixed)
            yield item

    def _printed(self, value: Any, source: str) -> str:
        """The text of `value`, which the expression `source` gave: one of JSON's values, but not null."""
        if value is None:
            way_out = f"{{{{ {source.strip('`') or 'value'} or '' }}}}"
            raise RenderError(f"{source or 'a value'} is null. Write `{way_out}` to print nothing.")
        if isinstance(value, str | int | float | Undefined):
            text = str(value)
        elif isinstance(value, list | tuple | dict):
            self.meter.charge(text_size(value))
            text = str(value)
        else:
            kind = type(value).__name__
            raise RenderError(f"{source or 'a value'} is a {kind}, which has no text. `|list` or `|join` makes one.")
        self.meter.printed(len(text))
        return text

    def _joined(self, values: list[Any]) -> str:
        """What `a ~ b` gives."""
        self.meter.charge(sum(text_size(value) for value in values))
        return "".join(map(str, values))

    def _tojson(self, value: Any, indent: int | None = None) -> str:
        """`value` as JSON for a prompt: Jinja2's own writes `'` and `<` as escapes, for HTML."""
        self.meter.charge(text_size(value))
        if isinstance(value, Undefined):
            str(value)
        if indent is None:
            return dumps(value).decode("utf-8", "surrogatepass")
        return json.dumps(value, indent=min(int(indent), MAX_INDENT), ensure_ascii=False)


def _filter(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _replace_values(node: nodes.Node) -> None:
    """Replace each `a ~ b`, list and object under `node` by what is bounded."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, field, [_bounded(item) for item in value])
        else:
            setattr(node, field, _bounded(value))


def _bounded(value: Any) -> Any:
    if not isinstance(value, nodes.Node):
        return value
    _replace_values(value)
    if isinstance(value, nodes.Concat):
        return _filter(nodes.List(value.nodes, lineno=value.lineno), "_joined")
    if isinstance(value, nodes.List | nodes.Dict) or (isinstance(value, nodes.Tuple) and value.ctx == "load"):
        return _filter(value, "_collected")
    return value


def _source(node: nodes.Node) -> str:
    """The name that the expression `node` is, in backticks; empty where it is more than a name."""
    match node:
        case nodes.Name(name=name):
            return f"`{name}`"
        case nodes.Getattr(node=owner, attr=attribute) if text := _source(owner).strip("`"):
            return f"`{text}.{attribute}`"
        case nodes.Getitem(node=owner, arg=nodes.Const(value=key)) if text := _source(owner).strip("`"):
            return f"`{text}[{key!r}]`"
        case _:
            return ""


class Program:
    """A template or a condition, ready to run. `names` are the columns it reads.

    `required` are those of them that it reads without asking first whether they are there.
    """

    def __init__(self, sandbox: Sandbox, tree: nodes.Template) -> None:
        names = meta.find_undeclared_variables(tree)
        guarded = {
            node.node.name
            for node in tree.find_all((nodes.Test, nodes.Filter))
            if isinstance(node, nodes.Test | nodes.Filter)
            and isinstance(node.node, nodes.Name)
            and node.name in _GUARDS
        }
        self.names = frozenset(names)
        self.required = frozenset(names - guarded - sandbox.globals.keys())
        self._sandbox = sandbox
        self._template = sandbox.from_string(tree)

    def text(self, variables: dict[str, Any]) -> str:
        """What the template gives. Raises whatever its expressions raise."""
        self._sandbox.meter.begin()
        chunks: list[str] = []
        for chunk in self._template.root_render_func(self._template.new_context(variables)):
            self._sandbox.meter.emit(len(chunk))
            chunks.append(chunk)
        return "".join(chunks)

    def value(self, variables: dict[str, Any]) -> Any:
        """What the condition gives. Raises whatever its expression raises."""
        self._sandbox.meter.begin()
        context = self._template.new_context(variables)
        for _ in self._template.root_render_func(context):
            pass
        value = context.vars[_RESULT]
        if isinstance(value, Undefined):
            str(value)
        return value

    def line_of(self, error: BaseException) -> int:
        """The line on which `error` was raised."""
        line, trace = 1, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _FILE_NAME:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


def parse_template(text: str) -> Program:
    """The template in `text`. Raises `TemplateSyntaxError` if it is none."""
    sandbox = Sandbox()
    return Program(sandbox, sandbox.parse(text))


def parse_condition(text: str) -> Program:
    """The expression in `text`. Raises `TemplateSyntaxError` if it is none, `UnexpectedError` if there is more."""
    sandbox = Sandbox()
    parser = Parser(sandbox, text, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        raise UnexpectedError(str(parser.stream.current.value))
    tree = nodes.Template([nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)], lineno=1)
    tree.set_environment(sandbox)
    return Program(sandbox, sandbox.checked(tree))
