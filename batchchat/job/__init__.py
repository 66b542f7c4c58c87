"""Job file -> frozen, valid `JobSpec`."""

from batchchat.job.bounds import LimitsSpec, RetrySpec, TimeoutSpec
from batchchat.job.keys import KEYS, PLANNED, JobKey
from batchchat.job.load import load_job, load_output
from batchchat.job.overrides import Override
from batchchat.job.source import JobSource, source_of_keys
from batchchat.job.spec import EndpointSpec, InputSpec, JobSpec, OutputSpec

__all__ = [
    "KEYS",
    "PLANNED",
    "EndpointSpec",
    "InputSpec",
    "JobKey",
    "JobSource",
    "JobSpec",
    "LimitsSpec",
    "OutputSpec",
    "Override",
    "RetrySpec",
    "TimeoutSpec",
    "load_job",
    "load_output",
    "source_of_keys",
]
