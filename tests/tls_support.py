# SPDX-License-Identifier: BSD-2-Clause
"""Certificates and keys for tests, and what clients of ours make of them."""

import functools
import os
import shutil
import ssl
import subprocess
import tempfile
import atexit

MAKE_CERTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "make-certs")


def make(directory, *names, client="client"):
    subprocess.run([MAKE_CERTS, directory, *names], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CLIENT": client})
    return directory


@functools.lru_cache(maxsize=None)
def certificates():
    """A directory that all tests of a process share."""
    directory = tempfile.mkdtemp(prefix="platter-certs-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return make(directory)


def context(directory, authority=None, identity=True, **versions):
    """A client's: it trusts the authority of AUTHORITY, or DIRECTORY, and shows DIRECTORY's client certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(os.path.join(authority or directory, "ca-cert.pem"))
    if identity:
        made.load_cert_chain(os.path.join(directory, "client-cert.pem"), os.path.join(directory, "client-key.pem"))
    for name, version in versions.items():
        setattr(made, name, version)
    return made
