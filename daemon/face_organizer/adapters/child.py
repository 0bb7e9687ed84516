"""A module of ours in a process of its own, for what may hang or take its process along.

Room:    adapters (touches processes)
Imports: stdlib
"""

from __future__ import annotations

import subprocess
import sys

PYTHON = (sys.executable,)
"""What runs a module: also ours."""


class ChildError(Exception):
    """It gave no answer; the text says why."""


def answer_of(module: str, *arguments: str, within_s: float, given: bytes = b"") -> bytes:
    """What `python -m module arguments` writes on stdout. given: what it reads on stdin. Raises ChildError."""
    try:
        # In a group of its own: Ctrl-C is for us, who wait for it.
        done = subprocess.run(
            [*PYTHON, "-m", module, *arguments],
            input=given,
            capture_output=True,
            timeout=within_s,
            process_group=0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildError(f"no answer within {within_s:.0f} s") from None
    except OSError as error:
        raise ChildError(str(error)) from error
    if done.returncode != 0 or not done.stdout.strip():
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        code = done.returncode
        ended = f"signal {-code} ended the process" if code < 0 else f"the process ended with {code}"
        raise ChildError(f"{ended}: {said}")
    return done.stdout
