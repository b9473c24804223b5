"""The sandbox: a process that evaluates scripts and can do nothing else.

Started by `scripts` as `python -S -I script_child.py PATHS` with an empty environment; reads frames from
its standard input and answers each on its standard output. A frame is a length (4 bytes, big-endian) and
JSON. Once its imports are done it gives up files, processes and memory for good; it must not be imported.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys

MEMORY_BYTES = 256 * 1024 * 1024
#: Ends an evaluation that outlived the process that asked for it.
CPU_SECONDS = 5


def main() -> None:
    """Answer requests, each [evaluator, expression, data], until the other side closes the pipe."""
    sys.path += sys.argv[1].split(os.pathsep)
    from openworld.language.evaluators import ScriptError, evaluate

    for evaluator, identity in (("javascript", "$"), ("jq", "."), ("cel", "input")):
        # Whatever is loaded at first use must be there before files can no longer be opened.
        evaluate(evaluator, identity, {"ü": [0.5, "😀"], "z": None})
    _give_up_everything()
    _write({"ready": True})
    while (request := _read()) is not None:
        _bound_cpu()
        try:
            answer = {"value": evaluate(*request)}
        except ScriptError as error:
            answer = {"error": str(error)}
        except Exception as error:  # the process must outlive whatever a script makes of its engine
            answer = {"error": f"the script failed: {type(error).__name__}"}
        _write(answer)


def _give_up_everything() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _read() -> tuple[str, str, object] | None:
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        return None
    body = sys.stdin.buffer.read(struct.unpack(">I", header)[0])
    evaluator, expression, data = json.loads(body)
    return evaluator, expression, data


def _write(answer: dict[str, object]) -> None:
    body = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
