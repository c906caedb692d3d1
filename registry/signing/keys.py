"""Key files: PEM, elliptic curves P-256, P-384 and P-521, as ``openssl ecparam -genkey`` writes them."""

from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import InvalidInput
from registry.optional import require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""What ``model_signing`` signs with (model_signing/_signing/sign_ec_key.py)."""

PACKAGES = {"model_signing": "model-signing", "OpenSSL": "pyopenssl"}
MAX_FILE = 1 << 16
MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out pub.pem"


def load_private(file: Path, password: str = "") -> "EllipticCurvePrivateKey":
    """Read a private key.

    Args:
        file: PEM.
        password: of an encrypted key, or ``""``.

    Raises:
        InvalidInput: the file is missing, holds no such key, or the password is missing or wrong.
        MissingPackage: the extra ``sign`` is not installed.
    """
    require("sign", PACKAGES)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _read(file)
    if b"PUBLIC KEY" in text:
        raise InvalidInput(f"{file} is a public key; signing needs the private one.", f"To make a pair: {MAKE}")
    encrypted = b"ENCRYPTED" in text
    if encrypted and not password:
        raise InvalidInput(f"The key {file} is encrypted, and no password was given.", "Set ADAPTORY_SIGN_PASSWORD.")
    try:
        key = load_pem_private_key(text, password.encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise InvalidInput(f"The password does not open the key {file}.", "Set ADAPTORY_SIGN_PASSWORD.") from error
        raise InvalidInput(f"{file} is no private key in PEM.", f"To make one: {MAKE}") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _wrong_kind(str(file))
    return key


def load_public(file: Path) -> str:
    """Read a public key; returns it as ``public_pem`` writes it.

    Raises:
        InvalidInput: the file is missing or holds no such key.
        MissingPackage: the extra ``sign`` is not installed.
    """
    text = _read(file)
    if b"PRIVATE KEY" in text:
        raise InvalidInput(
            f"{file} is a private key; a public one was expected.", f"openssl ec -in {file} -pubout -out pub.pem"
        )
    return valid_public(text, str(file))


def valid_public(text: bytes, what: str = "The text") -> str:
    """Return a public key as ``public_pem`` writes it.

    Args:
        text: PEM.
        what: what messages call it.

    Raises:
        InvalidInput: it is no such key.
        MissingPackage: the extra ``sign`` is not installed.
    """
    require("sign", PACKAGES)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{what} is no public key in PEM.", f"To make one: {MAKE}") from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _wrong_kind(what)
    return public_pem(key)


def public_pem(key: "EllipticCurvePublicKey") -> str:
    """PEM of a public key, always the same text for the same key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise InvalidInput(f"There is no key file {file}.", f"To make a pair: {MAKE}")
    if file.stat().st_size > MAX_FILE:
        raise InvalidInput(f"{file} is larger than any key; a PEM file was expected.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The key {file} cannot be read ({error.strerror}).") from error


def _wrong_kind(what: str) -> InvalidInput:
    return InvalidInput(f"{what} holds another kind of key; an elliptic curve P-256, P-384 or P-521 is needed.", MAKE)
