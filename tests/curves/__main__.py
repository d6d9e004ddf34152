"""`python -m tests.curves CELL …`: train these cells and write their loss curves; look at the difference in git."""

import os
import sys

from tests import curves
from tuirnn.cells import CELLS

if os.environ.get("TUIRNN_KERNELS") != "portable":
    sys.exit(f"the stored curves are of the portable kernels: {curves.COMMAND} CELL …")
for name in sys.argv[1:]:
    if name not in CELLS:
        sys.exit(f"no cell '{name}'; known: {', '.join(CELLS)}")
    curves.store(name)
    print(name, curves.stored(name))
