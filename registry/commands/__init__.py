"""The subcommands of ``registry``, a file each."""
