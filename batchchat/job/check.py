"""Check the tree against the declared keys: values by dotted name, and a diagnostic for each root cause.

A key that is wrong, or that an unknown key most likely meant, is `suppressed`: its absence gives no further
diagnostic.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batchchat.job.cluster import RAY
from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.endpoint import MOCK, check_key_name, needs_deepinfra_key, read_key
from batchchat.job.endpoints import EndpointsPath
from batchchat.job.keys import KEYS, children, nearest, not_a_key
from batchchat.job.spec import AUTO, NOT_REPLAYED, EndpointEntry
from batchchat.job.tree import MappingNode, Node, SequenceNode, is_null, wrong_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchchat.secret import Secret

__all__ = ["Checked", "check"]

DEFAULTS: Mapping[str, Any] = {key.name: key.default for key in KEYS}
DEEPINFRA_TOKEN = "DEEPINFRA_TOKEN"  # noqa: S105  a variable's name


@dataclass(slots=True)
class Checked:
    """A checked tree: `values` and `locations` are those of the keys that are set, by dotted name.

    Indexing gives a key's value or else its default. `diagnostics` has everything that is wrong so far.
    """

    values: dict[str, Any] = field(default_factory=dict)
    locations: dict[str, SourceLocation] = field(default_factory=dict)
    suppressed: set[str] = field(default_factory=set)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    api_key_env: str | None = None
    api_key: Secret | None = None
    endpoints: tuple[EndpointEntry, ...] = ()
    """Those of `endpoints`, with their keys."""
    endpoints_path: EndpointsPath | None = None
    """The file that `endpoints` names in place of them."""

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name, DEFAULTS[name])

    def is_suppressed(self, name: str) -> bool:
        """Whether `name` or its section is suppressed."""
        return name in self.suppressed or name.partition(".")[0] in self.suppressed

    def location(self, name: str) -> SourceLocation:
        """Where `name` is written, or else its section, or else the job's first key."""
        return self.locations.get(name) or self.locations.get(name.rpartition(".")[0]) or self.locations[""]

    def add(self, name: str, sentence: str) -> None:
        """Add a diagnostic about `name`; `sentence` follows the name."""
        self.diagnostics.append(Diagnostic(self.location(name), f"`{name}` {sentence}"))


def check(
    tree: MappingNode,
    environ: Mapping[str, str],
    suppressed: Iterable[str] = (),
    *,
    reads_key: bool = True,
    checks_key_name: bool = False,
) -> Checked:
    """Read every key of `tree`, then check the keys against each other.

    Keys in `suppressed` are wrong already. The API key is read only if `reads_key`; the name of its variable is
    checked if `reads_key` or `checks_key_name`.
    """
    checked = Checked(locations={"": tree.location}, suppressed=set(suppressed))
    _read_section(tree, "", checked)
    for key in KEYS:
        if key.required and key.name not in checked.values and not checked.is_suppressed(key.name):
            checked.add(key.name, f"is missing. It takes {key.type.takes}.")
    _check_price(checked)
    _check_row_choice(checked)
    _check_replay(checked)
    _check_template(checked)
    _check_share(checked)
    _check_partitions(checked)
    if isinstance(value := checked["endpoints"], EndpointsPath):
        checked.endpoints_path = value
    else:
        checked.endpoints = value or ()
    _check_endpoints(checked)
    if reads_key or checks_key_name:
        if checked.endpoints:
            _find_keys(checked, tree, environ, reads=reads_key)
        elif checked.endpoints_path is None and not checked.is_suppressed("endpoints"):
            _find_api_key(checked, environ, reads=reads_key)
    return checked


def _read_section(mapping: MappingNode, section: str, checked: Checked) -> None:
    keys = children(section)
    for leaf, node in mapping.entries.items():
        dotted = f"{section}.{leaf}" if section else leaf
        if leaf not in keys:
            checked.diagnostics.append(Diagnostic(node.location, not_a_key(section, leaf)))
            if meant := nearest(section, leaf):
                checked.suppressed.add(meant)
            continue
        checked.locations[dotted] = node.location
        if is_null(node):
            key = keys[leaf]
            if key is not None and key.type.nullable:
                checked.values[dotted] = None
            continue
        try:
            checked.values |= _read_value(dotted, node, checked)
        except RefusedError as exc:
            checked.diagnostics += exc.diagnostics
            checked.suppressed.add(dotted)


def _read_value(dotted: str, node: Node, checked: Checked) -> dict[str, Any]:
    section, _, leaf = dotted.rpartition(".")
    key = children(section)[leaf]
    if key:
        return {dotted: key.type.read(dotted, node)}
    if not isinstance(node, MappingNode):
        raise wrong_type(dotted, node, "a mapping", hidden=dotted == "endpoint")
    _read_section(node, dotted, checked)
    return {}


def _check_share(checked: Checked) -> None:
    """What several jobs share, one process of each leases."""
    if checked["limits.share"] is None:
        return
    if checked["cluster.engine"] == RAY:
        checked.add("limits.share", "takes jobs of one process: set `cluster.engine: local`, or take this key out.")
    elif checked["workers"] > 1:
        checked.add("limits.share", "takes jobs of one process: set `workers: 1`, or take this key out.")


def _check_partitions(checked: Checked) -> None:
    """Each worker has a partition, or there would be some that have nothing to do."""
    partitions, workers = checked["cluster.partitions"], checked["workers"]
    if checked["cluster.engine"] == RAY:
        workers = checked["cluster.workers"] or workers
    if partitions is not None and partitions < workers:
        sentence = f"is {partitions}, for {workers} workers, each of which takes one at a time. Set {workers} or more."
        checked.add("cluster.partitions", sentence)


def _check_price(checked: Checked) -> None:
    """A price has both `input` and `output`, or is absent."""
    if not any(name.startswith("price.") for name in checked.values):
        return
    for name in ("price.input", "price.output"):
        if name not in checked.values and not checked.is_suppressed(name):
            checked.add(name, "is missing. A price takes `input` and `output`, USD per million tokens.")


def _check_row_choice(checked: Checked) -> None:
    """`random` and `first` exclude each other. A seed without `random` is fine: `random` may come by --set."""
    if "input.random" in checked.values and "input.first" in checked.values:
        checked.add("input.random", "can't be combined with `input.first`. Leave one out.")


def _check_replay(checked: Checked) -> None:
    """`replay` plays conversations, and replaces the answer that `prefill` would go on with."""
    if checked["input.replay"]:
        for name, values in (("input.format", NOT_REPLAYED), ("input.trailing_assistant", ("prefill",))):
            if checked[name] in values:
                checked.add("input.replay", f"can't be combined with `{name}: {checked[name]}`. Leave one out.")


def _check_template(checked: Checked) -> None:
    """A template makes the conversation: there is no column that has one."""
    if checked["template"] is None:
        return
    if checked["input.format"] != "auto":
        sentence = f"is {checked['input.format']}, and `template` makes the conversation of a row. Leave one out."
        checked.add("input.format", sentence)
    if checked["input.column"] is not None:
        checked.add("input.column", "names a conversation, and `template` makes one of a row. Leave one out.")


def _check_endpoints(checked: Checked) -> None:
    """`endpoints` stands in place of `endpoint`, and says for each what is otherwise said once."""
    if not checked.endpoints and checked.endpoints_path is None:
        return
    if checked.endpoints_path is not None and checked["budget.max_cost"] is not None and checked["price.input"] is None:
        sentence = "needs a known price, and an endpoint that joins later may have none. Add `price: {input, output}`."
        checked.add("budget.max_cost", sentence)
    if any(name.startswith("endpoint.") for name in checked.locations):
        checked.add("endpoints", "can't be combined with `endpoint`. Move that into the list, or leave one out.")
    if checked["concurrency"] == AUTO:
        sentence = "is auto, and no one endpoint can be asked for it. Give each of `endpoints` its `concurrency`."
        checked.add("concurrency", sentence)
    if checked["cluster.engine"] == RAY:
        checked.add("cluster.engine", "can't be ray with `endpoints` in this version. Set `cluster.engine: local`.")
    elif checked["workers"] > 1:
        sentence = "can't be combined with `endpoints` in this version. Leave it out: one process sends to all of them."
        checked.add("workers", sentence)
    if any(axis.key == "model" for axis in checked["matrix"] or ()):
        for number, entry in enumerate(checked.endpoints):
            if entry.model is not None:
                sentence = f"has `[{number}].model`, and `matrix.model` names several. Leave one out."
                checked.add("endpoints", sentence)


def _find_keys(checked: Checked, tree: MappingNode, environ: Mapping[str, str], *, reads: bool) -> None:
    """Set `endpoints`: each with the name of its key's variable and, if it `reads` the key, that."""
    nodes, entries = tree.entries["endpoints"], list[EndpointEntry]()
    assert isinstance(nodes, SequenceNode)
    for number, (entry, node) in enumerate(zip(checked.endpoints, nodes.items, strict=True)):
        assert isinstance(node, MappingNode)
        name = f"endpoints[{number}].api_key_env"
        location = node.entries["api_key_env"].location if "api_key_env" in node.entries else node.location
        authorizes = any(header.lower() == "authorization" for header in entry.headers)
        try:
            entries.append(_with_key(entry, name, location, environ, reads=reads, authorizes=authorizes))
        except RefusedError as exc:
            checked.diagnostics += exc.diagnostics
    checked.endpoints = tuple(entries)


def _with_key(
    entry: EndpointEntry,
    name: str,
    location: SourceLocation,
    environ: Mapping[str, str],
    *,
    reads: bool,
    authorizes: bool,
) -> EndpointEntry:
    variable = entry.api_key_env
    if variable is not None:
        check_key_name(variable, location, environ, name)
    elif not authorizes and needs_deepinfra_key(entry.base_url):
        variable = DEEPINFRA_TOKEN
    if variable is None or not reads or entry.is_mock:
        return replace(entry, api_key_env=variable)
    return replace(entry, api_key_env=variable, api_key=read_key(variable, location, environ, name))


def _find_api_key(checked: Checked, environ: Mapping[str, str], *, reads: bool) -> None:
    """Set `api_key_env` and, if it `reads` the key and the endpoint takes one, `api_key`."""
    name = "endpoint.api_key_env"
    if checked.is_suppressed(name):
        return
    url_unknown = checked.is_suppressed("endpoint.base_url")
    variable: str | None = checked[name]
    try:
        if variable is not None:
            check_key_name(variable, checked.location(name), environ)
        elif not url_unknown and not _headers_authorize(checked) and needs_deepinfra_key(checked["endpoint.base_url"]):
            variable = DEEPINFRA_TOKEN
        checked.api_key_env = variable
        if reads and variable is not None and not url_unknown and checked["endpoint.base_url"] != MOCK:
            checked.api_key = read_key(variable, checked.location(name), environ)
    except RefusedError as exc:
        checked.diagnostics += exc.diagnostics


def _headers_authorize(checked: Checked) -> bool:
    """Whether a header authorizes the request, or the headers are wrong and one might."""
    headers = checked["endpoint.headers"]
    return checked.is_suppressed("endpoint.headers") or any(header.lower() == "authorization" for header in headers)
