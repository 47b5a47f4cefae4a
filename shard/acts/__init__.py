"""What people do in a room, each act in one transaction: ask at the door, change rows, append the event.

Every act takes the clock as `now_ms` and raises the RejectedErrors of the door and of the rows it touches. The
importer uses the same acts as everyone else.
"""
