# SPDX-License-Identifier: BSD-2-Clause
"""Where a server is, and what it offers: the rules depend on that."""

import contextlib
import os
import socket
import ssl
import struct
import urllib.parse

import wire_client as nbd
from rules.channel import Channel, Splitter, Violation
from rules.conversation import Conversation
from rules.play import ALLOCATION, beginning, play_run, runs, upgrade
from rules.vocabulary import Session, check_informed, check_listed, informations

PORT = 10809
MIB = 1 << 20
NOBODY = b"no export has this name"
NOTLS, FORCEDTLS, SELECTIVETLS = "NOTLS", "FORCEDTLS", "SELECTIVETLS"


class Server:
    """
    An address, as an NBD URI: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH, nbds for all of it inside TLS.
    CERTIFICATES, a folder, has ca-cert.pem and, if the client has to show one, client-cert.pem and client-key.pem; or the URI
    names it. Bytes are delivered "plain", "single" or "joined".
    """

    def __init__(self, uri, certificates=None, delivery="plain", patience=10.0):
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme not in ("nbd", "nbds", "nbd+unix", "nbds+unix"):
            raise ValueError(f"{uri}: write nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH, or nbds")
        more = dict(urllib.parse.parse_qsl(parts.query))
        certificates = certificates or more.get("tls-certificates")
        self.inside_tls = parts.scheme.startswith("nbds")
        self.path = None
        if parts.scheme.endswith("unix"):
            self.path = more.get("socket")
            if not self.path:
                raise ValueError(f"{uri}: no socket=PATH in it")
        self.host, self.port = parts.hostname or "localhost", parts.port or PORT
        self.export_name = urllib.parse.unquote(parts.path[1:]).encode()
        self.context = client_context(certificates) if certificates else None
        if self.inside_tls and not self.context:
            raise ValueError(f"{uri}: it takes certificates: write --tls-certificates DIR, or ?tls-certificates=DIR behind it")
        self.certificates = certificates
        self.joined = delivery == "joined"
        self.channel = Splitter if delivery == "single" else Channel
        self.patience = patience

    def connect(self):
        if self.path:
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(self.path)
        else:
            connected = socket.create_connection((self.host, self.port), self.patience)
        return self.channel(connected, self.patience)


def client_context(certificates):
    """A client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.path.join(certificates, "ca-cert.pem"))
    if os.path.exists(os.path.join(certificates, "client-cert.pem")):
        context.load_cert_chain(os.path.join(certificates, "client-cert.pem"), os.path.join(certificates, "client-key.pem"))
    return context


class Export:
    """What one export of a server offers: its size, flags, as they are without structured replies and with, and block sizes."""

    def __init__(self, server):
        self.server = server
        self.name = server.export_name
        self.inside_tls = server.inside_tls
        self.tls = self._tls_mode()
        self.structured = self._replies(nbd.OPT_STRUCTURED_REPLY)[-1][0] == nbd.REP_ACK
        self.size, self.flags, self.block_sizes = self._info(structured=False)
        self.structured_flags = self._info(structured=True)[1] if self.structured else 0
        answers = self._replies(nbd.OPT_SET_META_CONTEXT, nbd.context_data(self.name, [ALLOCATION]), self.structured)
        self.has_allocation = self.structured and [kind for kind, _ in answers] == [nbd.REP_META_CONTEXT, nbd.REP_ACK]
        self.knows_names = self._replies(nbd.OPT_INFO, nbd.go_data(NOBODY))[-1][0] != nbd.REP_ACK
        self.secret = self._export_for_tls()

    def has(self, flag):
        return bool(self.flags & flag)

    @property
    def writable(self):
        return not self.has(nbd.READ_ONLY)

    @property
    def any_block(self):
        """Whether requests may begin and end anywhere."""
        return self.block_sizes is None or self.block_sizes[0] == 1

    @contextlib.contextmanager
    def _conversation(self, kind, structured=False):
        """One with a server in the middle of haggling."""
        with contextlib.closing(self.server.connect()) as channel:
            conversation = Conversation(channel, False, self.server)
            for run in runs(beginning(Session(kind, []), self), joined=False):
                play_run(conversation, run)
            if structured:
                channel.send(nbd.option(nbd.OPT_STRUCTURED_REPLY))
                conversation.option_replies(nbd.OPT_STRUCTURED_REPLY)
            yield conversation

    def _replies(self, option, data=b"", structured=False, kind="haggling"):
        with self._conversation(kind, structured) as conversation:
            conversation.channel.send(nbd.option(option, data))
            return conversation.option_replies(option)

    def _tls_mode(self):
        if self._replies(nbd.OPT_STARTTLS, kind="clear")[-1][0] != nbd.REP_ACK:
            return NOTLS
        return FORCEDTLS if self._replies(nbd.OPT_LIST, kind="clear")[-1][0] == nbd.ERR_TLS_REQD else SELECTIVETLS

    def _export_for_tls(self):
        """The name of one that can't be had without, though others can; empty when there is none that is told."""
        if self.tls != SELECTIVETLS or not self.server.context:
            return b""
        with self._conversation("clear") as conversation:
            conversation.channel.send(nbd.option(nbd.OPT_STARTTLS))
            conversation.option_replies(nbd.OPT_STARTTLS)
            upgrade(conversation)
            conversation.channel.send(nbd.option(nbd.OPT_LIST))
            listed = conversation.option_replies(nbd.OPT_LIST)
        check_listed(listed)
        names = [data[4:4 + struct.unpack(">I", data[:4])[0]] for _, data in listed[:-1]]
        without = {name: self._replies(nbd.OPT_INFO, nbd.go_data(name), kind="clear")[-1][0] for name in names}
        return next((name for name, answer in without.items() if answer == nbd.ERR_TLS_REQD), b"")

    def _info(self, structured):
        """As GO tells it: some know it no earlier."""
        replies = self._replies(nbd.OPT_GO, nbd.go_data(self.name, [nbd.INFO_BLOCK_SIZE]), structured)
        if replies[-1][0] != nbd.REP_ACK:
            name, text = (string.decode(errors="replace") for string in (self.name, replies[-1][1]))
            raise Violation(f"it refuses the export {name!r}: {text}")
        check_informed(replies)
        found = informations(replies)
        size, flags = struct.unpack(">QH", found[nbd.INFO_EXPORT])
        sizes = found.get(nbd.INFO_BLOCK_SIZE)
        return size, flags, struct.unpack(">III", sizes) if sizes else None
