"""What rows have that an endpoint would understand and that is not sent, and parameters that are likely misspelt.

The first rows are looked at before anything is sent, the others as they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.job.request_fields import AMBIGUOUS, ROW_FIELDS, misspelt_parameter
from batchchat.sources.row_params import read_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchchat.job.spec import InputSpec
    from batchchat.sources.formats import Format
    from batchchat.sources.template_names import Names

__all__ = ["UnsentFields"]

# Where datasets keep what a conversation speaks of: `<image>` in the text stands for one.
_MEDIA = frozenset({"image", "images", "audio", "audios", "video", "videos"})
# Where they keep what belongs to the prompt: Alpaca's `input`, Dolly's and SQuAD's `context`.
_PROMPT_PARTS = frozenset({"context", "input"})
# What is a system message under another name: OpenOrca's `system_prompt`.
_SYSTEM_TEXTS = frozenset({"system_message", "system_prompt"})
_SENDS_ALL = frozenset({"request", "openai-batch"})


class UnsentFields:
    """Gathers what the rows of an input, read by `form`, have and the job doesn't send.

    Columns that are called so for another reason (`ours`, of an output of batchchat) are not meant to be sent.
    `rendered` are the columns that the job's templates read.
    """

    def __init__(
        self,
        spec: InputSpec,
        form: Format,
        id_column: str | None,
        ours: frozenset[str] = frozenset(),
        rendered: Names | None = None,
    ) -> None:
        self._spec, self._form = spec, form
        params = spec.params
        self._listed = () if params is None or isinstance(params, str) else params
        self._rendered = frozenset() if rendered is None else rendered.read
        own = {*form.columns, *form.optional, *self._listed, id_column, params if isinstance(params, str) else None}
        own |= self._rendered
        if rendered is not None and rendered.reads_row:
            own |= ROW_FIELDS.keys() | _SYSTEM_TEXTS | _PROMPT_PARTS
            self._rendered |= _MEDIA
        self._candidates = set() if form.name in _SENDS_ALL else {*ROW_FIELDS} - AMBIGUOUS - own - ours
        texts = _SYSTEM_TEXTS | _PROMPT_PARTS if form.name == "prompt" else _SYSTEM_TEXTS
        self._texts = set() if form.name in _SENDS_ALL else {*texts} - own
        if form.name == "template":  # it says which texts are sent
            self._texts = set()
        self._unsent_texts: list[str] = []
        self.columns: list[str] = []
        self._media: dict[str, None] = {}
        self._missing: list[str] = []
        self._misspelt: dict[str, str] = {}
        self._checked: set[str] = set()
        self._check_names(self._listed)
        self._names = self._all_names()

    @property
    def fields(self) -> frozenset[str]:
        """The columns that are looked for."""
        return frozenset(self._candidates | self._texts)

    def note(self, record: Mapping[str, Any]) -> None:
        """Take note of the columns of `record` that an endpoint would understand."""
        if not self._names.isdisjoint(record):
            self._note_names(record)
        if self._form.name == "request" and not self._checked.issuperset(record):
            self._check_names(record)

    def _note_names(self, record: Mapping[str, Any]) -> None:
        if not _MEDIA.isdisjoint(record):
            self.note_media(name for name, value in record.items() if value)
        if not self._texts.isdisjoint(record):
            for name in [name for name in record if name in self._texts]:
                if type(record[name]) is str and record[name].strip():
                    self._texts.discard(name)
                    self._unsent_texts.append(name)
        if not self._candidates.isdisjoint(record):
            for name in [name for name in record if name in self._candidates]:
                value = read_field(name, record[name])
                if value is not None and not isinstance(value, Bad):
                    self._candidates.discard(name)
                    self.columns.append(name)
        self._names = self._all_names()

    def _all_names(self) -> frozenset[str]:
        """The columns that are looked for and those of media."""
        return self.fields | _MEDIA

    def note_params(self, params: Mapping[str, Any]) -> None:
        """Take note of the names of a row's own parameters."""
        if params and not self._checked.issuperset(params):
            self._check_names(params)

    def note_media(self, names: Iterable[str]) -> None:
        """Take note of those of `names`, columns that have values, that hold images, audio or video."""
        is_sent = {*self._form.columns, *self._form.optional, *self._listed, *self._rendered}
        self._media |= dict.fromkeys(name for name in names if name in _MEDIA and name not in is_sent)

    def note_missing(self, names: Iterable[str], rows: int) -> None:
        """Take note of `names`, columns of `input.params` that have no value in the first `rows`."""
        where = "the only row" if rows == 1 else f"the first {rows:,} rows"
        self._missing += (f"`{name}` (`input.params`) has no value in {where}." for name in names)

    def _check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._checked:
                self._checked.add(name)
                if (meant := misspelt_parameter(name)) is not None:
                    self._misspelt[name] = meant

    def sentences(self) -> list[str]:
        """What is to be said of them."""
        sentences = [*self._missing, *([self._unsent()] if self.columns else [])]
        if self._media:
            names = ", ".join(f"`{name}`" for name in self._media)
            sentences.append(
                f"rows have {names}, not sent. To send them, write them as parts of the messages' content."
            )
        sentences += self._about_texts()
        for name, meant in self._misspelt.items():
            if self._form.name == "request" and name not in self._listed:
                sentences.append(f"the column `{name}` is not sent. Did you mean `{meant}`?")
            else:
                sentences.append(
                    f"rows have the parameter `{name}`, which is sent as it stands. Did you mean `{meant}`?"
                )
        return sentences

    def _about_texts(self) -> list[str]:
        """What is to be said of columns of text that belong to the prompt."""
        sentences = []
        if parts := [name for name in self._unsent_texts if name in _PROMPT_PARTS]:
            names, where = ", ".join(f"`{name}`" for name in parts), self._form.where
            sentences.append(f"rows have {names}, not sent. To send what is there, write it into `{where}`.")
        for name in self._unsent_texts:
            if name in _SYSTEM_TEXTS:
                more = "" if "system" in self._form.optional else ", and put `system` under `input.params`"
                sentences.append(f"rows have `{name}`, not sent. To send it, call the column `system`{more}.")
        return sentences

    def _unsent(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.columns)
        head = f"rows have {names}, which are not sent" if len(self.columns) > 1 else f"rows have {names}, not sent"
        if isinstance(self._spec.params, str):
            return f"{head}. To send them, put them into the objects of `{self._spec.params}` (`input.params`)."
        ways = [f"`input.params: [{', '.join((*self._listed, *self.columns))}]`"]
        if self._form.name == "messages":
            ways.append("`input.format: request`")
        return f"{head}. To send them: {', or '.join(ways)}."
