"""The faults that the fault tests draw from, and how many of them a transfer survives."""

from infra.local.outlook import families

# Seconds. Such a connection hangs and is reset before the client's timeout.
HANG = 0.02
TRANSIENT = families.transient(hang_seconds=HANG)
PERMANENT = families.permanent()
# With those of the first set, every way in which a connection can break.
BROKEN = families.broken_connections(hang_seconds=HANG)

# A transfer survives so many faults: a fifth attempt without progress is the last one.
SURVIVED = 4
# Repeated more often than this, the product may take such a status for a permanent refusal.
MAX_BY_STATUS = {401: 1, 404: 2}
