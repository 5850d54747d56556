# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's programs and its Python modules."""

import os
import sys

from daemon import PLATTERD

BUILD = os.path.dirname(PLATTERD)
LOAD = os.path.join(BUILD, "bench/platter-load")
BLOCK = os.path.join(BUILD, "bench/platter-block")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench")
sys.path.append(SOURCE)
