"""Signing: key files, and bundles in the format of ``model_signing`` (OpenSSF Model Signing).

``registry.signing.keys`` needs ``cryptography``, ``registry.signing.bundle`` the package ``model-signing``; both are
imported when something is signed or verified.
"""
