"""Gateway: live events over WebSockets."""
