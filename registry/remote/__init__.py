"""The registry behind a server: the rooms of ``registry.rooms``, filled by requests."""
