"""How many threads compute."""

import os


def compute_threads() -> int:
    """Half of the logical cores, one at least.

    Both torch's and llama.cpp's threads spin while they wait for each other: with as many as cores, a busy machine of
    two cores was 6 (torch) and 20 (llama.cpp) times slower than with one; and two on one core gain little anyway.
    """
    return max(1, (os.cpu_count() or 1) // 2)
