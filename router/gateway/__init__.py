"""The gateway: live events over WebSockets."""
