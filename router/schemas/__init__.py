"""Schemas of the API: models of requests, typed dictionaries of responses, and the functions that render rows as
responses.

One module for each part of the API: its requests first, then its responses, then its render functions. The OpenAPI
document is generated from them.
"""
