"""Workflows that span both stores: room creation, membership, group chats."""
