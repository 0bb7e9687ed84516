"""Its being here puts this folder on the path, so that every test finds support.py."""

import pytest

pytest.register_assert_rewrite("survival")  # so that a failure there shows what differed
