"""Job file -> frozen, valid `JobSpec`."""

from batchchat.job.keys import KEYS, PLANNED, Key
from batchchat.job.load import load_job, load_output
from batchchat.job.overrides import Override
from batchchat.job.spec import EndpointSpec, InputSpec, JobSpec, Limits, OutputSpec, Retry, Timeout

__all__ = [
    "KEYS",
    "PLANNED",
    "EndpointSpec",
    "InputSpec",
    "JobSpec",
    "Key",
    "Limits",
    "OutputSpec",
    "Override",
    "Retry",
    "Timeout",
    "load_job",
    "load_output",
]
