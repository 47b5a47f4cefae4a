"""The yardstick of fan-out: a process that writes one framed event after the other to all its sockets."""

import socket
import struct
import sys

ORDER = struct.Struct("!II")
"""An order: the number of events, and the length of each frame, whose bytes follow."""


def main() -> None:
    """Accept connections on the port of the first argument, as many as the second, then one that sends orders."""
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=2_048)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    listeners = [listening.accept()[0] for _ in range(int(sys.argv[2]))]
    for one in listeners:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    orders, _ = listening.accept()
    orders.sendall(b"!")
    while order := orders.recv(ORDER.size, socket.MSG_WAITALL):
        count, size = ORDER.unpack(order)
        frame = orders.recv(size, socket.MSG_WAITALL)
        for _ in range(count):
            for one in listeners:
                one.sendall(frame)


if __name__ == "__main__":
    main()
