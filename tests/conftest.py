"""Settings that every test shares: hypothesis without deadlines, since machines are noisy, and Ctrl+C as in a terminal.

A shell ignores SIGINT for a command in the background, and so would every command that tests start from there.
"""

import signal

import hypothesis

hypothesis.settings.register_profile("rookery", deadline=None, print_blob=True)
hypothesis.settings.load_profile("rookery")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
