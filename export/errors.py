"""What can go wrong in an export.

registry.errors.AdaptoryError
├── ConversionFailed     llama.cpp's converter or quantiser gave up, or its result is not what it should be
└── registry.errors.Unavailable
    └── DiskFull         there is not enough room for the work
"""

from registry.errors import AdaptoryError, Unavailable


class ConversionFailed(AdaptoryError):
    """llama.cpp's converter or quantiser gave up, or its result is not what it should be."""


class DiskFull(Unavailable):
    """There is not enough room for the work."""
