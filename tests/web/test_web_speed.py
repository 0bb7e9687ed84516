"""How quick it is on an idle machine; run it alone: pytest -m bench tests/web/test_web_speed.py"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import LFW_DEV, NO_LFW

BENCH = Path(__file__).resolve().parents[2] / "bench" / "web.py"


@pytest.mark.bench
@pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)
def test_an_image_that_is_sent_is_enrolled_within_a_tenth_of_a_second() -> None:
    done = subprocess.run([sys.executable, BENCH, "enrol", LFW_DEV], stdout=subprocess.PIPE, text=True, check=True)

    assert json.loads(done.stdout)["p95_ms"] < 100
