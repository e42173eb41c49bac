"""A real CouchDB 3.x as one node of its own: no cluster, no Erlang distribution, no epmd daemon.

The configuration is a chain of three files, read in this order (later ones win):

- the installation's `default.ini`;
- `run.ini`: where this run listens and keeps its data, written at every start;
- `local.ini`: what has to stay the same for the data's sake (the server's uuid, which CouchDB puts into its
  replication ids, and the admin), written once. It is the last one, so CouchDB itself writes here: it puts a
  hash in the admin password's place at the first start.

`local.d` and `default.d` of the installation are left out on purpose: they belong to the machine's own CouchDB.
See https://docs.couchdb.org/en/stable/config/intro.html .
"""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path

from embedded.folders import private, write_private
from embedded.nodes import EmbeddedNode
from embedded.ports import LOOPBACK
from embedded.process import Command, Process, StartError
from worker.core.model import Credentials

SYSTEM_DATABASES = {"_users", "_replicator"}  # made in the background by single_node
# Ours must not reach the node: they would add files or flags to its start.
FOREIGN = {"COUCHDB_INI_FILES", "COUCHDB_SYSCONFIG_FILE", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS"}

# Without -name and with -start_epmd false nothing listens but the HTTP port.
VM_ARGS = """\
-start_epmd false
-dist_listen false
-kernel error_logger silent
-sasl sasl_error_logger false
-kernel prevent_overlapping_partitions false
+SDio 16
+zdbbl 32768
+sbwt none
+sbwtdcpu none
+sbwtdio none
+Bd -noinput
-ssl session_lifetime 300
-os_mon start_cpu_sup false
-os_mon start_memsup false
-os_mon disk_space_check_interval 5
-os_mon disk_almost_full_threshold 1.0
"""

RUN_INI = """\
[couchdb]
single_node = true
database_dir = {data}
view_index_dir = {data}

[cluster]
n = 1

[smoosh]
state_dir = {data}

[chttpd]
port = {port}
bind_address = {host}

[replicator]
startup_jitter = 0

[log]
writer = stderr
level = warning
"""

LOCAL_INI = """\
[couchdb]
uuid = {uuid}

[chttpd_auth]
secret = {secret}

[admins]
{user} = {password}
"""


class CouchNode(EmbeddedNode):
    kind = "couchdb"

    def __init__(self, name: str, port: int, folder: Path, admin: Credentials, program: Path) -> None:
        super().__init__(name, port, folder, admin)
        self._defaults = program.resolve().parent.parent / "etc" / "default.ini"
        environ = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        environ |= {"COUCHDB_ARGS_FILE": str(self.folder / "vm.args"), "HOME": str(self.folder)}
        files = [self._defaults, self.folder / "run.ini", self.folder / "local.ini"]
        command = Command(name, [str(program), "-couch_ini", *map(str, files)], environ, self.folder)
        self.process = Process(command, self.log)

    def prepare(self) -> None:
        if not self._defaults.is_file():
            raise StartError(f"{self._defaults} is missing: set COUCHDB_BIN to bin/couchdb of a CouchDB 3 installation")
        data = private(self.folder / "data")
        write_private(self.folder / "vm.args", VM_ARGS)
        write_private(self.folder / "run.ini", RUN_INI.format(data=data, port=self.port, host=LOOPBACK))
        local = self.folder / "local.ini"
        if not local.exists():
            server, secret = uuid.uuid4().hex, secrets.token_hex(16)
            write_private(
                local, LOCAL_INI.format(uuid=server, secret=secret, user=self.admin.user, password=self.admin.password)
            )

    def is_ready(self, databases: list[str]) -> bool:
        return set(databases) >= SYSTEM_DATABASES
