"""One machine, one command: a private redis-server, three CouchDB nodes and the system's own processes.

Nothing here is for production. It imports whatever it starts; nothing of the system imports it.
"""
