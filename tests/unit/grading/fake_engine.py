"""In the place of Podman: starts what it is asked to, without a container, so that the grader's side can be tried.

It notes each call in the file `calls` beside it. What it is to do instead is in the file `does`: fail, always, once or
if there are limits; hang, hang at its end, or say something and go on.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def run(words: list[str]) -> int:
    """Start the grader's program with the command, without the launcher, which would take rights away."""
    mounted = {}
    for word in words:
        if word.startswith("type=bind,"):
            _, source, target, _ = (part.partition("=")[2] for part in word.split(","))
            mounted[target] = source
    program = next(word for word in words if word.endswith("/container_program.py"))
    begin, end = words.index(program), len(words) - 1 - words[::-1].index("--")
    line, seconds, *environment = words[begin + 1 : words.index("--", begin)]
    asked = [mounted[program], mounted[line], seconds, *environment, "--", *words[end + 1 :]]
    without_a_container = "import runpy, sys; runpy.run_path(sys.argv[1])['main'](sys.argv[2:])"
    return subprocess.run([sys.executable, "-I", "-S", "-c", without_a_container, *asked], check=False).returncode


def main(words: list[str]) -> int:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    does = json.loads((FOLDER / "does").read_text())
    match does.get(words[0]):
        case [int(status), str(said)]:
            print(said, file=sys.stderr)
            return status
        case "fail once" if (FOLDER / "calls").read_text().count(f'["{words[0]}", ') == 1:
            return 125
        case "fail with limits" if "--memory" in words:
            return 125
        case "hang":
            signal.pause()
        case "hang at the end":
            run(words)
            signal.pause()
    if words[0] == "--version":
        print(does.get("version", "podman version 5.0.0"))
    return run(words) if words[0] == "run" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
