"""Its being here puts this folder on the path, so that every test finds support.py."""

import os

import pytest
from hypothesis import settings

# The suite says the same of the same code each time. To search for what it has not met: --hypothesis-profile search
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("same")

pytest.register_assert_rewrite("survival")  # so that a failure there shows what differed

# Where the surroundings forbid to keep what was compiled, that is a third of each start of the program.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
