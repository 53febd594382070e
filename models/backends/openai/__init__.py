"""The backend for servers that speak the OpenAI protocol."""
