"""Actions of people in a room, each in one transaction: check access, change rows, append the event.

Every action takes the time as `now_ms` and raises the RejectedErrors of the access check and of the rows it changes.
The importer uses the same actions as everyone else.
"""
