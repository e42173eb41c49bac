"""All nodes as servers: built once a process from the settings, shared by every job. What of it changes is the
passwords with which nodes are called (`use`), while those are being changed."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from config.nodes import NodeSetting
from config.settings import Settings
from worker.core.errors import MixedNodeKinds, SameNodeTwice
from worker.core.logins import Login, Logins, Which, Whose, with_login
from worker.core.model import Credentials, Node
from worker.couch.client import CouchClient
from worker.couch.server import Server
from worker.couch.tls import Tls
from worker.couch.transport import RequestsTransport, Timeouts, Transport


class Cluster:
    """The servers in configured order; the first is the primary. `logins`: node -> the passwords that are being
    changed there."""

    def __init__(self, servers: Sequence[Server], logins: Mapping[str, Logins] = MappingProxyType({})) -> None:
        self.servers = {server.node.name: server for server in servers}
        self.logins = {name: known for name, known in logins.items() if known and name in self.servers}
        self._using = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport | None = None) -> Cluster:
        tls = Tls(settings.couchdb_ca_bundle, settings.couchdb_client_cert, settings.couchdb_client_key)
        transport = transport or RequestsTransport(tls)
        timeouts = Timeouts(connect=settings.health_timeout, read=settings.couchdb_timeout)
        made = cls(
            [Server(CouchClient(_node(node, settings), transport, timeouts)) for node in settings.nodes],
            {node.name: _logins(node, settings) for node in settings.nodes},
        )
        for name, known in made.logins.items():
            for whose in known:
                made.use(name, whose, None)
        return made

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    @property
    def names(self) -> list[str]:
        return list(self.servers)

    def only(self, names: Collection[str]) -> Cluster:
        """The same servers, without those that are not named."""
        return Cluster([server for name, server in self.servers.items() if name in names], self.logins)

    def twin(self) -> Cluster:
        """The same nodes, called with the same passwords, for who changes them: what others learn meanwhile changes
        nothing here."""
        same = [Server(one.client.acting_as(one.node.credentials)) for one in self.servers.values()]
        return Cluster(same, self.logins)

    def use(self, name: str, whose: Whose, which: Which | None) -> None:
        """From now on call this node, and have its peers call it, with this password; None: with none."""
        server = self[name]
        with self._using:
            node = with_login(server.node, self.logins[name], whose, which)
            if node != server.node:
                server.client.use(node)
                server.renew()

    def refuse_unfit(self, names: Sequence[str]) -> None:
        """Raise MixedNodeKinds where these (reachable) nodes are of different kinds: CouchDB's replicator and a
        stand-in garble each other's attachments. Raise SameNodeTwice where two of them are one server."""
        known = {name: self[name].capabilities() for name in names}
        if len({capabilities.kind for capabilities in known.values()}) > 1:
            listed = ", ".join(f"{name} is {capabilities.kind.value}" for name, capabilities in known.items())
            raise MixedNodeKinds(f"all nodes must be of one kind, but {listed}: change REPLICATION_NODES")
        first: dict[str, str] = {}
        for name, capabilities in known.items():
            twin = first.setdefault(capabilities.uuid or name, name)
            if twin != name:
                raise SameNodeTwice(
                    f"{twin} and {name} are the same server (or one is a copy with the other's [couchdb] uuid): "
                    "list each node once, and give each its own uuid"
                )


def _node(node: NodeSetting, settings: Settings) -> Node:
    user = node.user or settings.couchdb_user
    password = node.password if node.user else settings.couchdb_password.get_secret_value()
    ours = Credentials(user, password or "") if user else None
    peers = ours
    if settings.replication_user:
        peers = Credentials(settings.replication_user, settings.replication_password.get_secret_value())
    return Node(node.name, node.url, node.peer_url, ours, peers)


def _logins(node: NodeSetting, settings: Settings) -> Logins:
    """The passwords of this node that the settings want to be changed. One that is written into its URL is its own."""
    found = {}
    ours = settings.couchdb_user, settings.couchdb_password, settings.couchdb_password_previous
    peers = settings.replication_user, settings.replication_password, settings.replication_password_previous
    for whose, (user, current, previous) in ((Whose.OURS, ours), (Whose.PEERS, peers)):
        if user and previous.get_secret_value() and not (whose is Whose.OURS and node.user):
            words = (Credentials(user, word.get_secret_value()) for word in (current, previous))
            found[whose] = Login(*words)
    return found
