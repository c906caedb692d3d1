"""The registry: adapters, versions, aliases, reports and artifacts, and the vocabulary that all rooms share.

``registry.store.Registry`` is the door to what is kept; importing it brings SQLAlchemy, so it is not done here.
"""

from registry.errors import AdaptoryError
from registry.refs import AdapterRef
from registry.settings import Settings

__all__ = ["AdapterRef", "AdaptoryError", "Settings"]
