"""The tree against the table of keys: values by dotted name, and every fault, one for each root cause.

A key that is wrong, or that was most likely meant by an unknown one, is `spoiled`: nothing that follows
from its absence is told as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.endpoint import needs_deepinfra_key, read_key, vet_key_name
from batchchat.job.keys import KEYS, children, nearest, not_a_key
from batchchat.job.spec import MOCK
from batchchat.job.tree import MappingNode, Node, is_null, wrong_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchchat.secret import Secret

__all__ = ["Checked", "check"]

DEFAULTS: Mapping[str, Any] = {key.name: key.default for key in KEYS}
DEEPINFRA_TOKEN = "DEEPINFRA_TOKEN"  # noqa: S105  a variable's name


@dataclass(slots=True)
class Checked:
    """What the tree holds: `values` of the keys that are set and valid, by dotted name."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, SourceLocation] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)
    faults: list[Diagnostic] = field(default_factory=list)
    api_key_env: str | None = None
    api_key: Secret | None = None

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name, DEFAULTS[name])

    def is_spoiled(self, name: str) -> bool:
        """Whether `name` or the section it stands in is spoiled."""
        return name in self.spoiled or name.partition(".")[0] in self.spoiled

    def place(self, name: str) -> SourceLocation:
        """Where `name` is written, or else where it would be: at its section, at the file's first key."""
        return self.places.get(name) or self.places.get(name.rpartition(".")[0]) or self.places[""]

    def tell(self, name: str, sentence: str) -> None:
        """Add a fault about `name`."""
        self.faults.append(Diagnostic(self.place(name), f"`{name}` {sentence}"))


def check(
    tree: MappingNode,
    environ: Mapping[str, str],
    spoiled: Iterable[str] = (),
    *,
    sends: bool = True,
    vets: bool = False,
) -> Checked:
    """Read every key of `tree`, then look at what keys ask of one another.

    The API key is read only for what `sends`, the name of its variable looked at also for what `vets`.
    """
    checked = Checked(places={"": tree.place}, spoiled=set(spoiled))
    _section(tree, "", checked)
    for key in KEYS:
        if key.required and key.name not in checked.values and not checked.is_spoiled(key.name):
            checked.tell(key.name, f"is missing. It takes {key.kind.takes}.")
    _price(checked)
    _choice_of_rows(checked)
    if sends or vets:
        _api_key(checked, environ, reads=sends)
    return checked


def _section(branch: MappingNode, section: str, checked: Checked) -> None:
    known = children(section)
    for leaf, node in branch.entries.items():
        dotted = f"{section}.{leaf}" if section else leaf
        if leaf not in known:
            checked.faults.append(Diagnostic(node.place, not_a_key(section, leaf)))
            if near := nearest(section, leaf):
                checked.spoiled.add(near)
            continue
        checked.places[dotted] = node.place
        if is_null(node):
            continue
        try:
            checked.values |= _value(dotted, node, checked)
        except RefusedError as exc:
            checked.faults += exc.faults
            checked.spoiled.add(dotted)


def _value(dotted: str, node: Node, checked: Checked) -> dict[str, Any]:
    section, _, leaf = dotted.rpartition(".")
    key = children(section)[leaf]
    if key:
        return {dotted: key.kind.read(dotted, node)}
    if not isinstance(node, MappingNode):
        raise wrong_type(dotted, node, "a mapping", hidden=dotted == "endpoint")
    _section(node, dotted, checked)
    return {}


def _price(checked: Checked) -> None:
    """A price is whole or absent."""
    if not any(name.startswith("price.") for name in checked.values):
        return
    for name in ("price.input", "price.output"):
        if name not in checked.values and not checked.is_spoiled(name):
            checked.tell(name, "is missing. A price takes `input` and `output`, USD per million tokens.")


def _choice_of_rows(checked: Checked) -> None:
    """Rows are chosen in one way. A seed may stand without `random`, which comes and goes with a --set."""
    if "input.random" in checked.values and "input.first" in checked.values:
        checked.tell("input.random", "can't stand beside `input.first`: each chooses rows in its way. Leave one out.")


def _api_key(checked: Checked, environ: Mapping[str, str], *, reads: bool) -> None:
    """Find the variable of the key and, if that `reads`, the key itself, where the endpoint takes one."""
    name = "endpoint.api_key_env"
    if checked.is_spoiled(name):
        return
    url_unknown = checked.is_spoiled("endpoint.base_url")
    variable: str | None = checked[name]
    try:
        if variable is not None:
            vet_key_name(variable, checked.place(name), environ)
        elif not url_unknown and not _brings_own(checked) and needs_deepinfra_key(checked["endpoint.base_url"]):
            variable = DEEPINFRA_TOKEN
        checked.api_key_env = variable
        if reads and variable is not None and not url_unknown and checked["endpoint.base_url"] != MOCK:
            checked.api_key = read_key(variable, checked.place(name), environ)
    except RefusedError as exc:
        checked.faults += exc.faults


def _brings_own(checked: Checked) -> bool:
    """Whether the headers authorize by themselves, or are wrong and might."""
    headers = checked["endpoint.headers"]
    return checked.is_spoiled("endpoint.headers") or any(header.lower() == "authorization" for header in headers)
