"""Certificates of two CAs, right and wrong, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sut.nodes import credentials
from sut.nodes.credentials import Credentials


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def _certificate(folder: Path, name: str, issuer: str, days: str = "9") -> None:
    """NAME.pem with its key, for 127.0.0.1, from a CA."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    ca = ("-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *ca, "-days", days, "-extfile", "san", "-out", f"{name}.pem")


def made(folder: Path) -> Path:
    """`folder` with two CAs, ca and foreign, and certificates of theirs: one, stranger (of foreign), old (expired)."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    for ca in ("ca", "foreign"):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        _openssl(folder, "req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}")
    _certificate(folder, "one", "ca")
    _certificate(folder, "stranger", "foreign")
    _certificate(folder, "old", "ca", days="-1")
    return folder


def of(folder: Path, name: str, ca: str = "ca") -> Credentials:
    """One side's certificate, and the CA that it trusts."""
    return credentials.read(None, folder / f"{name}.pem", folder / f"{name}.key", folder / f"{ca}.pem")
