"""Exchange: adapters from and to the Hugging Face Hub and OCI registries.

``huggingface-hub`` and ``oras`` are imported when something is exchanged.
"""
