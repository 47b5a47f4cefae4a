"""What clients send: frozen pydantic models that refuse unknown fields, a module for each part of the API."""
