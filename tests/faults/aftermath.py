"""After the daemon of a workload has ended, however that was: another one comes, on a disk that does not fail.

    lost, resent, duplicates = aftermath(daemon, play, cut)         raises Broken

It must start, what it finds must be what Verdict allows, what is unanswered is sent again, the clients go on writing,
and in the end all of it must be there. Returns how many acknowledged writes are gone, how many were sent again, and how
many of those had been there.
"""

import os

from harness import DaemonFailed
from kyneta_store_client import CURRENT_META, Connection, StoreError
from records import STORES, Broken, read_file, table_names
from verdict import Verdict
from workload import Gone

# Nothing here needs a real disk, and a real one would make it slow.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# A small log, so that it is moved into the database often; and one reader, so that the same is read each time.
OPTIONS = {"wal_bytes": 65536, "reserve_bytes": 0, "readers": 1}


def aftermath(daemon, play, cut):
    play.daemon = daemon
    verdict = Verdict(play, cut, "another program has written" in daemon.log())
    try:
        daemon.start()
        throughs = {client: _through(daemon, client) for client in play.clients if client.link.session is not None}
        verdict.found(read_file(daemon.database), throughs)
        _check_positions(daemon, play, verdict)
        lost = sum(write.acknowledged() for client, count in verdict.there.items() for write in client.writes[count:])
        play.go_on()
        play.say_goodbye()
        daemon.stop()
        verdict.finished(play.without_goodbyes(read_file(daemon.database)))
    except (DaemonFailed, Gone) as failure:
        raise Broken("the daemon does not recover: %s\n%s" % (failure, daemon.log())) from None
    except StoreError as error:
        raise Broken("a call failed afterwards: %s\n%s" % (error, daemon.log())) from None
    finally:
        daemon.kill()
    return (lost, sum(client.link.resent for client in play.clients),
            sum(client.link.duplicates for client in play.clients))


def _through(daemon, client):
    with Connection(daemon.socket) as connection:
        reply = connection.hello(client.name, table_names(client.store), session=client.link.session)
    if reply is None or reply[1] != 0:
        raise Broken("hello of %s: %s" % (client.name, reply))
    return reply[5]


def _check_positions(daemon, play, verdict):
    for store in STORES:
        with Connection(daemon.socket) as connection:
            connection.hello("positions", table_names(store))
            for id, (client, document) in enumerate(play.own_documents(store), 2):
                reply = connection.request(id, CURRENT_META, document)
                verdict.check_position(client, document, reply[3])
