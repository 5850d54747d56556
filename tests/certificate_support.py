# SPDX-License-Identifier: BSD-2-Clause
"""An authority that issues certificates of any kind, and revokes them."""

import os
import shutil
import ssl
import subprocess

import tls_support

LEAF = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
CLIENT = [*LEAF, "extendedKeyUsage=clientAuth"]
SERVER = [*LEAF, "extendedKeyUsage=serverAuth", "subjectAltName=DNS:localhost"]
BELOW = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """make-certs' one in DIRECTORY, whose certificate root.pem keeps, with an intermediate one below it, "inter"."""

    def __init__(self, directory):
        self.directory = tls_support.make(directory)
        shutil.copy(self.path("ca-cert.pem"), self.path("root.pem"))
        self.issue("inter", "/CN=Below", BELOW)

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, subject, extensions, issuer="ca", days="30"):
        with open(self.path("extensions"), "w", encoding="ascii") as file:
            file.write("\n".join(extensions))
        key, wanted = self.path(name + "-key.pem"), self.path(name + ".csr")
        openssl("req", "-new", "-utf8", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", subject,
                "-out", wanted)
        openssl("x509", "-req", "-in", wanted, "-CA", self.path(issuer + "-cert.pem"), "-CAkey", self.path(issuer + "-key.pem"),
                "-CAcreateserial", "-days", days, "-extfile", self.path("extensions"), "-out", self.path(name + "-cert.pem"))

    def join(self, target, *names):
        """Into one file, what was in it."""
        content = []
        for name in names:
            with open(self.path(name), encoding="ascii") as file:
                content.append(file.read())
        with open(self.path(target), "w", encoding="ascii") as file:
            file.write("".join(content))

    def revoke(self, target, issuer, *names):
        """A list of ISSUER's, in which NAMES are."""
        index, config = self.path(issuer + "-index"), self.path(issuer + ".cnf")
        with open(index, "w", encoding="ascii"):
            pass
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=own\n[own]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=30\n")
        common = ["ca", "-config", config, "-cert", self.path(issuer + "-cert.pem"), "-keyfile", self.path(issuer + "-key.pem")]
        for name in names:
            openssl(*common, "-revoke", self.path(name + "-cert.pem"))
        openssl(*common, "-gencrl", "-out", self.path(target))

    def client(self, name, chain=None):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(self.path("root.pem"))
        made.load_cert_chain(self.path(chain or name + "-cert.pem"), self.path(name + "-key.pem"))
        return made
