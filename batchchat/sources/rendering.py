"""What a job renders of each row's columns: the conversation, the system messages, and whether the row is taken at all.

`Rendering` parses the job's templates once, when the input is opened, and lists the columns that they need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad, BadReason
from batchchat.errors import InputError
from batchchat.sources.conversations import check_messages
from batchchat.sources.formats import Format, RowRequest
from batchchat.sources.template_names import Names, is_template

if TYPE_CHECKING:
    import pyarrow as pa

    from batchchat.core.conversation import Message
    from batchchat.job.template import TemplateSpec
    from batchchat.sources.templates import Condition, Template

__all__ = ["TEMPLATE", "Rendering"]

TEMPLATE = "template"
"""The name of the format of rows whose conversation a template makes."""

Columns = Mapping[str, Any]
_Part = Callable[[Columns], Any]
"""(columns) -> a value that is rendered, or `Bad`."""


class Rendering:
    """The templates of a job: `template`, the `systems` by the name of their variant, and the condition `where`.

    Raises `InputError` with the line if one of them is none.
    """

    def __init__(
        self, template: TemplateSpec | None = None, systems: Mapping[str, str] | None = None, where: str | None = None
    ) -> None:
        self._names: list[tuple[str, Names]] = []
        self._messages = None if template is None else self._conversation(template)
        self._systems = {
            name: self._template(text, f"`matrix.system.{name}`" if name else "`system`", "system")
            for name, text in (systems or {}).items()
            if is_template(text)
        }
        self._where: Condition | None = None
        if where is not None:
            from batchchat.sources.templates import Condition

            self._where = Condition.parse(where, "`input.where`")
            self._names.append(("input.where", self._where.names))
        self._types: dict[str, pa.DataType] = {}

    @property
    def names(self) -> Names:
        """The columns that the templates and the condition read."""
        names = Names()
        for _, own in self._names:
            names |= own
        return names

    @property
    def required(self) -> Iterator[tuple[str, str]]:
        """Each column that must be there, with the key of the job that reads it."""
        return ((key, name) for key, own in self._names for name in sorted(own.required))

    @property
    def form(self) -> Format | None:
        """The format of the rows, where a template makes their conversation."""
        return None if self._messages is None else Format(TEMPLATE, (), (), None, TEMPLATE, self._request)

    @property
    def has_where(self) -> bool:
        """Whether rows may be left out."""
        return self._where is not None

    def declare(self, types: Mapping[str, pa.DataType]) -> None:
        """Take note of the Arrow types of the columns in the form of `cells`, which a person would not write so."""
        names = self.names
        self._types = {name: kind for name, kind in types.items() if names.reads_row or name in names.read}

    def holds(self, columns: Columns) -> bool | Bad:
        """Whether the row of `columns` is taken; `Bad` where the condition can't be decided."""
        return True if self._where is None else self._where.holds(self._as_written(columns))

    def systems(self, columns: Columns) -> dict[str, str] | Bad | None:
        """The system messages for the row of `columns`, by the name of their variant; None where none is a template."""
        if not self._systems:
            return None
        columns, systems = self._as_written(columns), {}
        for name, template in self._systems.items():
            text = template.render(columns)
            if isinstance(text, Bad):
                return text
            systems[name] = "" if text.isspace() else text
        return systems

    def _request(self, columns: dict[str, Any]) -> RowRequest | Bad:
        assert self._messages is not None
        messages: list[Message] | Bad = self._messages(self._as_written(columns))
        return messages if isinstance(messages, Bad) else RowRequest(messages, {}, None)

    def _as_written(self, columns: Columns) -> Columns:
        """`columns` as a person would write them: an instant as ISO 8601, not as an integer."""
        if not self._types:
            return columns
        from batchchat.arrow.cell_text import as_written

        return {
            name: as_written([value], self._types[name])[0] if name in self._types else value
            for name, value in columns.items()
        }

    def _template(self, text: str, where: str, key: str) -> Template:
        from batchchat.sources.templates import Template

        template = Template.parse(text, where)
        self._names.append((key, template.names))
        return template

    def _conversation(self, spec: TemplateSpec) -> _Part:
        """What makes the messages of a row, or `Bad`."""
        where = f"`{spec.where}`"
        if isinstance(spec.value, str):
            content = self._text(spec.value, where)

            def message(columns: Columns) -> list[Message] | Bad:
                text = content(columns)
                return text if isinstance(text, Bad) else [{"role": "user", "content": text}]

            return message
        messages = [dict(message) for message in spec.value]
        if (problem := check_messages(messages, TEMPLATE)) is not None:
            raise InputError(problem.sentence)
        contents = [
            self._content(message["content"], f"`{TEMPLATE}[{at}].content`") for at, message in enumerate(messages)
        ]

        def conversation(columns: Columns) -> list[Message] | Bad:
            rendered: list[Message] = []
            for message, content in zip(messages, contents, strict=True):
                value = content(columns)
                if isinstance(value, Bad):
                    return value
                rendered.append({**message, "content": value})
            return rendered

        return conversation

    def _content(self, content: Any, where: str) -> _Part:
        return self._text(content, where) if isinstance(content, str) else self._value(content, where.strip("`"))

    def _text(self, text: str, where: str) -> _Part:
        """The text of a message, which must not be blank."""
        if not is_template(text):
            return lambda _: text
        template = self._template(text, where, TEMPLATE)

        def content(columns: Columns) -> str | Bad:
            rendered = template.render(columns)
            if isinstance(rendered, str) and (not rendered or rendered.isspace()):
                return Bad(f"{where} gives nothing but white space", BadReason.NO_CONVERSATION)
            return rendered

        return content

    def _value(self, value: Any, where: str) -> _Part:
        """A part of a content, in which each text may be a template."""
        if isinstance(value, str):
            return self._template(value, f"`{where}`", TEMPLATE).render if is_template(value) else lambda _: value
        if isinstance(value, dict):
            names, parts = list(value), [self._value(part, f"{where}.{name}") for name, part in value.items()]
        elif isinstance(value, list):
            names, parts = [], [self._value(part, f"{where}[{at}]") for at, part in enumerate(value)]
        else:
            return lambda _: value

        def structure(columns: Columns) -> Any:
            rendered = []
            for part in parts:
                rendered.append(part(columns))
                if isinstance(rendered[-1], Bad):
                    return rendered[-1]
            return dict(zip(names, rendered, strict=True)) if isinstance(value, dict) else rendered

        return structure
