"""Its being here puts this folder on the path, so that every test finds support.py."""

import os

import pytest

pytest.register_assert_rewrite("survival")  # so that a failure there shows what differed

# Where the surroundings forbid to keep what was compiled, that is a third of each start of the program.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
