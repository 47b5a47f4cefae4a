"""The yardstick: the product's uvicorn, with its settings, serving a Starlette application that echoes JSON."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from config import settings
from rookery.server import uvicorn_server
from rookery.server.application import Application


async def echo(request: Request) -> JSONResponse:
    """Answer with the received JSON."""
    body = await request.body()
    return JSONResponse(await request.json() if body else None)


def main() -> None:
    """Serve on the port of the first argument."""
    found = settings.load(None, environ={"ROOKERY_SERVER_PORT": sys.argv[1]})
    configured = uvicorn_server.configure(found, Application(found))
    configured.app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    configured.lifespan = "off"
    uvicorn.Server(configured).run()


if __name__ == "__main__":
    main()
