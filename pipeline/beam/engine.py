"""What the configuration says of a Beam engine: its name, address, web page, and where its logs are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine that runs Beam jobs in other processes.

    Attributes:
      runner: the name of the runner.
      options: the values of the Beam options that the engine's address depends on.
    """

    runner: str
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, runner: str, options: Sequence[str] = ()) -> Engine:
        """Returns the engine that a runner and its options, `--name=value` each, choose."""
        pairs = (option.removeprefix("--").partition("=") for option in options)
        return cls(runner, {name: value for name, _, value in pairs if name in _ADDRESSES and value})

    @property
    def name(self) -> str:
        """The runner's name, with its address if an option gives it."""
        address = next((self.options[n] for n in _ADDRESSES[:4] if n in self.options), "")
        return f"{self.runner} at {address}" if address else self.runner

    @property
    def endpoint(self) -> str:
        """The address of the job service; empty: none is given, or it is in this process."""
        endpoint = self.options.get("job_endpoint", "")
        return "" if endpoint == "embed" else endpoint

    @property
    def flink(self) -> str:
        """The URL of Flink's web page and REST interface; empty: unknown."""
        master = self.options.get("flink_master", "")
        if not master or master.startswith("["):
            return ""
        return (master if re.match("https?://", master) else f"http://{master}").rstrip("/")

    def page(self, job_id: str) -> str:
        """The URL of the engine's web page, of the job if that is known; empty: unknown."""
        if self.flink:
            return self.flink
        project, region = self.options.get("project", ""), self.options.get("region", "")
        if self._is("dataflow") and project and region and job_id:
            return f"https://console.cloud.google.com/dataflow/jobs/{region}/{job_id}?project={project}"
        return ""

    @property
    def logs(self) -> str:
        """Where the engine's logs are, in words."""
        if self._is("dataflow"):
            return "Cloud Logging: see the job in the Dataflow console"
        if self._is("flink") or self.flink:
            page = f", on {self.flink}" if self.flink else ""
            return f"the logs of Flink's job manager and task managers{page}, and of the SDK workers"
        if self._is("spark"):
            return "the logs of the Beam job server, of Spark's driver and executors, and of the SDK workers"
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"the output of the job service{at} and of the SDK workers"

    def _is(self, name: str) -> bool:
        return name in self.runner.lower()


_ADDRESSES = ("job_endpoint", "flink_master", "spark_master_url", "spark_rest_url", "project", "region")
