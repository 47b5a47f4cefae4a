"""The running server: uvicorn, the application it serves, its periodic tasks and its monitor."""
