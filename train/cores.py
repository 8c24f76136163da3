"""How many threads make batches and how many train on them.

Making a clip costs about a third of what training on it does. More threads than
cores wait for each other: on two cores one and one train 1.2 times as fast as
two and two.
"""

from __future__ import annotations

import os

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

PIPELINE_THREADS = max(1, round(0.3 * CORES))
TRAINING_THREADS = max(1, CORES - PIPELINE_THREADS)
