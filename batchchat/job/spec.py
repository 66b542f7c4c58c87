"""The job, frozen and valid, as the rest of the program uses it; each field declares the key that sets it.

Only `load.load_job` builds a spec from a file. No `repr` shows a secret: keys and header values are `Secret`s.
Fields are in the order of the keys in the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from batchchat.core.price import Price
from batchchat.job.bounds import BudgetSpec, LimitsSpec, PriceSpec, ResumeSpec, RetrySpec, TimeoutSpec
from batchchat.job.cluster import MAX_WORKERS, ClusterSpec
from batchchat.job.declaration import key, section
from batchchat.job.endpoint_spec import MAX_CONCURRENCY, PREFIX, EndpointEntry, EndpointSpec, names_of
from batchchat.job.endpoints import endpoints
from batchchat.job.estimate_spec import EstimateSpec, PricesSpec
from batchchat.job.expect import ExpectSpec
from batchchat.job.matrix import Axis, matrix
from batchchat.job.output import OutputSpec, StoreSpec
from batchchat.job.params import params
from batchchat.job.paths import input_paths
from batchchat.job.template import TemplateSpec, template
from batchchat.job.value_types import (
    auto_or_boolean,
    boolean,
    command,
    integer,
    line,
    literal_or,
    money,
    number,
    one_of,
    or_null,
    string_list,
    text,
    text_or_list,
)
from batchchat.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

    from batchchat.core.key_shard import KeyShard

__all__ = [
    "AUTO",
    "MAX_CONCURRENCY",
    "MAX_SAMPLES",
    "NOT_REPLAYED",
    "PREFIX",
    "EndpointEntry",
    "EndpointSpec",
    "EstimateSpec",
    "InputSpec",
    "JobSpec",
    "OutputSpec",
    "PricesSpec",
]

AUTO = "auto"
"""The value of `concurrency` that asks the endpoint for its limit, and of `input.id` that looks at the first row."""
NOT_REPLAYED = ("prompt", "turns")
"""The values of `input.format` whose rows are no conversation that `input.replay` could play."""
MAX_SAMPLES = 10_000

_COLUMN = line("the name of a column")
_COUNT = integer(1)
_DRAIN_S = number(minimum=0)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Where rows come from.

    `as_given` are the paths as the job writes them, `paths` the same made absolute, and with the secrets of their URLs;
    globs stay globs. Files in messages are relative to `folder`, or the working folder. Of the rows `shard` are read.
    """

    paths: tuple[str, ...] = field(repr=False)
    as_given: tuple[str, ...] = field(
        metadata=key(input_paths(), "file, folder, glob or URL of rows, or a list of them", name="path")
    )
    format: str = field(
        default="auto",
        metadata=key(
            one_of(("auto", "messages", "prompt", "turns", "request", "openai-batch", "sharegpt")),
            "how a row holds its conversation",
        ),
    )
    id: str | None = field(
        default=AUTO,
        metadata=key(
            or_null(_COLUMN),
            "column of unique ids; auto: `id` or `custom_id` where the first row has one; null: a hash of the request",
        ),
    )
    column: str | None = field(default=None, metadata=key(_COLUMN, "column of the conversation or the prompt"))
    params: str | tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            text_or_list("the name of a column, or a list of columns"),
            "column whose object is merged over `params`, row by row; or a list of columns, each sent under its name",
        ),
    )
    where: str | None = field(
        default=None,
        metadata=key(
            line("a condition, such as \"status == 'answered' and score > 3\""),
            "only the rows of which it is true, in the language of `template`; others are left out of the job",
        ),
    )
    trailing_assistant: str = field(
        default="refuse",
        metadata=key(
            one_of(("refuse", "drop", "prefill")),
            "a conversation that ends with an answer: invalid, cut off into the column `reference`, or sent as it is",
        ),
    )
    replay: bool = field(
        default=False,
        metadata=key(
            boolean(), "play a conversation's user turns one by one; the answers it has go to the column `reference`"
        ),
    )
    first: int | None = field(default=None, metadata=key(_COUNT, "only the first N rows"))
    random: int | None = field(
        default=None,
        metadata=key(_COUNT, "only N rows, chosen at random; a larger N keeps those chosen before"),
    )
    seed: int = field(default=0, metadata=key(integer(0), "which rows `input.random` chooses"))
    columns: tuple[str, ...] | None = field(
        default=None,
        metadata=key(string_list(), "columns carried to the output", default_words="all but the conversation"),
    )
    allow_outside_files: bool = field(
        default=False,
        metadata=key(
            boolean(), "whether messages may name local files (`file:`) outside of the job file's folder as parts"
        ),
    )
    folder: Path | None = field(default=None, compare=False)
    shard: KeyShard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A valid job.

    `concurrency` is a ceiling; if `ask_concurrency`, the endpoint is asked for it, and `concurrency` holds if the
    endpoint doesn't say. `on_finish` is a text for the shell, or a list of words to run without one. `path` is the job
    file as the command line names it, None where a Python program gave the keys. `text` is the job as written:
    variables unexpanded, secrets redacted, overrides as comment lines at the end. `endpoints_file` is the file, and its
    path as given, that `endpoints` were read from.
    """

    name: str = field(
        metadata=key(
            line(), "what the job is called in messages", default_words="the job file's name without its suffix"
        )
    )
    input: InputSpec = field(metadata=section(InputSpec))
    template: TemplateSpec | None = field(
        default=None,
        metadata=key(template(), "makes the conversation of a row's columns: Jinja2, a text or a list of messages"),
    )
    system: str | None = field(
        default=None,
        metadata=key(text(), "system message put first where a conversation has none; a template, too"),
    )
    model: str = field(metadata=key(line("the name of a model"), "the model, as the endpoint names it"))
    endpoint: EndpointSpec = field(default=EndpointSpec(), metadata=section(EndpointSpec))
    endpoints: tuple[EndpointEntry, ...] | None = field(
        default=None,
        metadata=key(
            endpoints(),
            "several endpoints in place of `endpoint`: the same keys in each, and `name`, `weight`, `concurrency`,"
            " `model`, `limits` and `price` of its own",
            default_words="the one `endpoint`",
        ),
    )
    affinity: str = field(
        default="none",
        metadata=key(
            one_of(("none", PREFIX)), "prefix: rows that begin alike go to one endpoint, for its prefix cache"
        ),
    )
    params: Mapping[str, Any] = field(
        default_factory=dict, metadata=key(params(), "parameters of the request, sent unchanged")
    )
    samples: int = field(
        default=1,
        metadata=key(
            integer(1, MAX_SAMPLES), "completions of each conversation, each a row of its own; a seed is seed + k"
        ),
    )
    matrix: tuple[Axis, ...] | None = field(
        default=None,
        metadata=key(
            matrix(), "values of `model`, `system` and `params.<name>`: every combination of them for each row"
        ),
    )
    dedupe: bool | str = field(
        default=AUTO,
        metadata=key(
            auto_or_boolean(),
            "equal requests of different rows are sent once: at temperature 0 (auto), always, or never",
        ),
    )
    expect: ExpectSpec = field(default=ExpectSpec(), metadata=section(ExpectSpec))
    concurrency: int = field(
        default=200,
        metadata=key(
            literal_or(AUTO, integer(1, MAX_CONCURRENCY)),
            "ceiling of requests in flight; `auto` asks the endpoint",
        ),
    )
    ask_concurrency: bool = False
    endpoints_file: tuple[Path, str] | None = None
    workers: int = field(
        default=1, metadata=key(integer(1, MAX_WORKERS), "processes on this machine; limits are for all of them")
    )
    cluster: ClusterSpec = field(default=ClusterSpec(), metadata=section(ClusterSpec))
    adaptive: bool = field(default=True, metadata=key(boolean(), "lower that on 429 and overload, and grow it back"))
    limits: LimitsSpec = field(default=LimitsSpec(), metadata=section(LimitsSpec))
    timeout: TimeoutSpec = field(default=TimeoutSpec(), metadata=section(TimeoutSpec))
    retry: RetrySpec = field(default=RetrySpec(), metadata=section(RetrySpec))
    resume: ResumeSpec = field(default=ResumeSpec(), metadata=section(ResumeSpec))
    drain: float = field(default=30.0, metadata=key(_DRAIN_S, "seconds that requests in flight get after a signal"))
    budget: BudgetSpec = field(default=BudgetSpec(), metadata=section(BudgetSpec))
    confirm_above: Decimal | None = field(
        default=None, metadata=key(money(), "USD above which `run` shows its estimate and asks, or wants `--yes`")
    )
    price: Price | None = field(default=None, metadata=section(PriceSpec))
    prices: PricesSpec | None = field(
        default=None,
        metadata=key(
            line("the path of a price table"),
            "a price table of your own in place of the package's, CSV as `batchchat prices --csv` prints it",
            default_words="the table of the package",
        ),
    )
    estimate: EstimateSpec = field(default=EstimateSpec(), metadata=section(EstimateSpec))
    on_finish: Secret | tuple[Secret, ...] | None = field(
        default=None,
        metadata=key(command(), "command run when a run has ended, with its summary as JSON on stdin"),
    )
    output: OutputSpec = field(metadata=section(OutputSpec))
    store: StoreSpec = field(default=StoreSpec(), metadata=section(StoreSpec))
    path: Path | None
    text: str

    @property
    def label(self) -> str:
        """What messages call the job: the path of its file, else its name."""
        return self.name if self.path is None else str(self.path)

    @property
    def systems(self) -> Mapping[str, str]:
        """The system messages of the job, by the name of their variant; "" is the name of the job's own."""
        own = {} if self.system is None else {"": self.system}
        axes = (axis for axis in self.matrix or () if axis.key == "system")
        return own | {label: text for axis in axes for label, text in axis.values if text is not None}

    @property
    def models(self) -> tuple[str, ...]:
        """The models that rows are sent to unless they name one of their own: those of the matrix, else `model`."""
        axis = next((axis for axis in self.matrix or () if axis.key == "model"), None)
        return (self.model,) if axis is None else tuple(dict.fromkeys(value for _, value in axis.values))

    @property
    def variants(self) -> int:
        """How many combinations the matrix has; 1 without one."""
        return prod(len(axis.values) for axis in self.matrix or ())

    @property
    def per_endpoint(self) -> tuple[JobSpec, ...]:
        """The job as each of its endpoints has it, but for the job's `model`; the job itself if it has one."""
        if not self.endpoints:
            return (self,)
        return tuple(
            replace(
                self,
                endpoint=entry,
                endpoints=(),
                concurrency=min(entry.concurrency or self.concurrency, self.concurrency),
                limits=entry.limits,
                price=entry.price or self.price,
            )
            for entry in self.endpoints
        )

    @property
    def served_model(self) -> str | None:
        """What the one endpoint of `per_endpoint` calls `model`; None where that is the same."""
        return self.endpoint.model if isinstance(self.endpoint, EndpointEntry) else None

    @property
    def weight(self) -> float:
        """The share of the one endpoint of `per_endpoint`."""
        return self.endpoint.weight if isinstance(self.endpoint, EndpointEntry) else 1.0

    @property
    def is_mock(self) -> bool:
        """Whether the embedded endpoint answers."""
        return (self.endpoints or (self.endpoint,))[0].is_mock

    @property
    def price_host(self) -> str:
        """The `price_host` of the one endpoint."""
        return self.endpoint.price_host

    @property
    def host(self) -> str:
        """The endpoint in messages, such as `api.deepinfra.com` or `the embedded mock`; or the names of several."""
        if not self.endpoints:
            return self.endpoint.label
        return names_of(self.endpoints)
