"""The embedded registry: tables and blobs, opened in this process."""
