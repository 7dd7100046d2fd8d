"""Generate load with `wrk`: POST single events with random ids, as many as possible."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import time_ns

from benchmarks.events import ID_FIELDS

TIMEOUT = 2  # seconds until wrk counts a request as timed out
ANY_ID = "#" * 8  # placeholder for eight random digits in a prepared event

SCRIPT = f"""
local templates = {{}}

function init(args)
    math.randomseed(tonumber(args[3]))
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["Authorization"] = "Api-Key " .. args[2]
    for event in io.lines(args[1]) do
        local pieces = {{}}
        for piece in (wrk.format(nil, nil, nil, event) .. "{ANY_ID}"):gmatch("(.-){ANY_ID}") do
            pieces[#pieces + 1] = piece
        end
        templates[#templates + 1] = pieces
    end
end

function request()
    local pieces = templates[math.random(#templates)]
    local whole = pieces[1]
    for i = 2, #pieces do
        whole = whole .. math.random(10000000, 99999999) .. pieces[i]
    end
    return whole
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\\n{{"seconds": %f, "responses": %d, "refused": %d, "timeouts": %d, "broken": %d, "p50": %f, "p99": %f, "max": %f}}\\n',
        summary.duration / 1e6, summary.requests, errors.status, errors.timeout,
        errors.connect + errors.read + errors.write,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""  # noqa: E501


@dataclass
class LoadResult:
    """The counts of one run of wrk; latencies are in milliseconds."""

    seconds: float
    responses: int
    refused: int  # responses with a status of 400 or more
    timeouts: int
    broken: int  # connections
    p50: float
    p99: float
    max: float
    cpu_seconds: float = 0.0  # wrk's own

    @property
    def rate(self) -> float:
        return self.responses / self.seconds


class Wrk:
    """Post events like those in a file of JSON lines."""

    def __init__(self, folder: Path, events: Path, origin: str, key: str) -> None:
        self.origin, self.key = origin, key
        self.script, self.templates = folder / "post.lua", folder / "templates.ndjson"
        self.script.write_text(SCRIPT)
        with events.open() as lines, self.templates.open("w") as templates:
            for line in lines:
                templates.write(json.dumps(json.loads(line) | dict.fromkeys(ID_FIELDS, ANY_ID)) + "\n")

    def post(self, path: str, clients: int, seconds: int) -> LoadResult:
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{TIMEOUT}s", "-s", self.script]
        seed = str(time_ns() % 2**31)
        before = getrusage(RUSAGE_CHILDREN)
        arguments = [*command, self.origin + path, "--", self.templates, self.key, seed]
        output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        after = getrusage(RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return LoadResult(**json.loads(output.splitlines()[-1]), cpu_seconds=used)
