"""One contender in a process of its own: `python -m benchmarks.worker`, spoken to in lines by `benchmarks.workers`.

It reads {"module": ..., "arguments": ..., "options": ...} and answers how long building and the first step took; then
it answers each [method, argument], such as ["take", 10] for the seconds of ten steps, until its input ends.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Speak over the standard streams; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    from benchmarks.contenders import make

    task = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    contender = make(task["module"], *task["arguments"], **task["options"])
    build = time.perf_counter() - start
    answer(build=build, first_step=contender.take(1), versions=contender.versions())
    for line in sys.stdin:
        method, argument = json.loads(line)
        answer(value=getattr(contender, method)(argument))
    answers.close()
    os._exit(0)  # a `fit` under way and the libraries' threads need no farewell


if __name__ == "__main__":
    main()
