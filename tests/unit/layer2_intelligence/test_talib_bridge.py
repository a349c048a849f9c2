"""The door to TA-Lib lets in TA-Lib, and nothing that it would bring along."""

import subprocess
import sys


def test_indicators_load_neither_pandas_nor_polars_and_leave_both_importable() -> None:
    asks = (
        "import sys, bot.layer2_intelligence.indicators.talib_bridge;"
        "assert not {'pandas', 'polars'} & set(sys.modules), 'loaded';"
        "import pandas"
    )

    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
