"""Measures `bitext serve` under load, beside the plain SavedModel.

    python -m benchmarks.serving [FOLDER [FILE]]

FOLDER is a serving folder or a SavedModel, FILE has a sentence a line; without them, those of a finished
`make run`. For one core and for two, from 1 to 64 clients translate one sentence a request, each client as
soon as it has its last answer: with the server over loopback, which is bound to these cores, and with as many
threads that call `serving_default` in one process. The clients of the server run on any core. Each
measurement has at most REQUESTS requests and takes at most SECONDS.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.commands import SERVING, sources
from benchmarks.process import BITEXT
from benchmarks.report import Result, print_results, progress, result
from bitext.components.translation.translator import find_saved_model

CLIENTS = (1, 2, 4, 8, 16, 64)
REQUESTS, SECONDS = 1500, 15.0
WARM_UP = 3
START_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Load:
    """The requests of one measurement.

    Attributes:
      seconds: how long it took.
      cpu_seconds: processor time of the server, or of the process with the SavedModel.
      latencies: the duration of each request, in seconds, in ascending order.
    """

    seconds: float
    cpu_seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """A percentile of the durations, in milliseconds."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]


def measure(model: str, sentences: Sequence[str]) -> list[Result]:
    """Measures the server and the SavedModel."""
    results: list[Result] = []
    for cores in (1, 2):
        if cores > len(os.sched_getaffinity(0)):
            progress(f"{cores} cores are left out: this machine has fewer")
            continue
        progress(f"server, {cores} cores")
        with server(model, cores) as running:
            loads = {clients: asyncio.run(load(running, sentences, clients)) for clients in CLIENTS}
        results += figures("bitext serve", cores, loads)
        progress(f"SavedModel, {cores} cores")
        command = [sys.executable, "-m", "benchmarks.serving", "--in-process", model, str(cores)]
        printed = subprocess.run(
            command, input="\n".join(sentences), stdout=subprocess.PIPE, check=True, text=True
        ).stdout
        loads = {int(clients): Load(**values) for clients, values in json.loads(printed).items()}
        results += figures("SavedModel", cores, loads)
    return results


def figures(what: str, cores: int, loads: dict[int, Load]) -> Iterator[Result]:
    """Yields the figures of measurements by number of clients."""
    for clients, one in loads.items():
        name = f"{what}, {cores} core{'s' * (cores > 1)}, {clients} client{'s' * (clients > 1)}"
        yield result(name, [one.rate], "requests/s")
        yield result(f"{name}, CPU a request", [1000 * one.cpu_seconds / len(one.latencies)], "ms")
        yield result(f"{name}, p50", [one.percentile(50)], "ms")
        yield result(f"{name}, p99", [one.percentile(99)], "ms")


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
      process: its process id.
      host: its address.
      port: its port.
      name: the model's name.
    """

    process: int
    host: str
    port: int
    name: str

    def cpu_seconds(self) -> float:
        """The processor time that it has used."""
        fields = Path(f"/proc/{self.process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(model: str, cores: int) -> Iterator[Server]:
    """Context manager: runs `bitext serve` on some cores.

    Raises:
      SystemExit: the server does not start.
    """
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    process = subprocess.Popen(
        [*BITEXT, "serve", "--model", model, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    assert process.stderr is not None
    try:
        printed = []
        for line in process.stderr:
            printed.append(line)
            if match := re.match(r"(.*) is served at http://([\d.]+):(\d+)/", line):
                yield Server(process.pid, match[2], int(match[3]), match[1])
                break
        else:
            raise SystemExit(f"the server did not start:\n{''.join(printed)}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)
        process.stderr.close()


async def load(running: Server, sentences: Sequence[str], clients: int) -> Load:
    """Sends requests with some clients, each over a connection of its own."""
    await _clients(running, sentences, clients, WARM_UP * clients)
    start, cpu_start = time.perf_counter(), running.cpu_seconds()
    latencies = await _clients(running, sentences, clients, REQUESTS)
    return Load(time.perf_counter() - start, running.cpu_seconds() - cpu_start, sorted(latencies))


async def _clients(running: Server, sentences: Sequence[str], clients: int, requests: int) -> list[float]:
    host, name = running.host, running.name
    numbers, latencies = iter(range(requests)), []
    end = time.perf_counter() + SECONDS

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, running.port)
        for number in numbers:
            if time.perf_counter() > end:
                break
            body = json.dumps({"instances": [{"text": sentences[number % len(sentences)]}]}).encode()
            head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: {host}\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            start = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.I)
            if not answer.startswith(b"HTTP/1.1 200") or length is None:
                raise SystemExit(f"the server answered {answer!r}")
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def in_process(model: str, cores: int, sentences: Sequence[str]) -> dict[int, Load]:
    """Calls the SavedModel from threads of this process, which is bound to some cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import tensorflow as tf  # after the affinity is set, because it starts a thread for each core

    loaded = tf.saved_model.load(str(find_saved_model(Path(model))))
    translate = loaded.signatures["serving_default"]

    def call(sentence: str) -> None:
        for output in translate(text=tf.constant([sentence])).values():
            output.numpy()

    loads = {}
    for clients in CLIENTS:
        _threads(call, sentences, clients, WARM_UP * clients)
        start, cpu_start = time.perf_counter(), time.process_time()
        latencies = _threads(call, sentences, clients, REQUESTS)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        loads[clients] = Load(seconds, cpu_seconds, sorted(latencies))
    return loads


def _threads(
    call: Callable[[str], None], sentences: Sequence[str], clients: int, requests: int
) -> list[float]:
    latencies: list[float] = []
    end = time.perf_counter() + SECONDS

    def client(first: int) -> None:
        for number in range(first, requests, clients):
            if time.perf_counter() > end:
                break
            start = time.perf_counter()
            call(sentences[number % len(sentences)])
            latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def main(arguments: Sequence[str]) -> None:
    """Prints the figures as JSON."""
    if arguments[:1] == ["--in-process"]:
        loads = in_process(arguments[1], int(arguments[2]), sys.stdin.read().splitlines())
        print(json.dumps({clients: dataclasses.asdict(one) for clients, one in loads.items()}))
        return
    model = arguments[0] if arguments else SERVING
    if len(arguments) > 1:
        sentences = Path(arguments[1]).read_text(encoding="utf-8").splitlines()
    else:
        sentences = [source.decode() for source in sources(500)]
    print_results(measure(model, [sentence for sentence in sentences if sentence.strip()]))


if __name__ == "__main__":
    main(sys.argv[1:])
