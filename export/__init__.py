"""Export: a version becomes merged 16-bit weights or a GGUF, and answers on a laptop."""
