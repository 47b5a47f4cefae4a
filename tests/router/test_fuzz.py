"""What the API's document promises, held against requests that nobody would think of.

For every operation schemathesis makes up requests from the document, some with real ids in their paths. No answer may
be a mistake of the server, nor one that the document does not have. ROOKERY_FUZZ_EXAMPLES sets how many are tried.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.router.clients import Client
from tests.router.matrix import worlds
from tests.router.matrix.worlds import World
from tests.router.serving import Running
from tests.router.test_access_matrix import FURNISH, MATRIX

EXAMPLES = int(os.environ.get("ROOKERY_FUZZ_EXAMPLES", "8"))
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

pytestmark = [pytest.mark.security, pytest.mark.slow]


@pytest.fixture(scope="module")
def document(server: Running) -> Any:
    """The document as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def still(nobody: Client) -> World:
    """A world that is asked about and never changed."""
    return worlds.make(nobody, FURNISH)


@pytest.fixture(scope="module")
def changing(nobody: Client) -> World:
    """A world that is added to and changed."""
    return worlds.make(nobody, FURNISH)


@pytest.mark.parametrize("key", MATRIX, ids=map(" ".join, MATRIX))
def test_no_request_is_answered_by_surprise(
    document: Any, nobody: Client, server: Running, still: World, changing: World, key: tuple[str, str]
) -> None:
    """Whatever is asked, the answer is one that the document has, and never a mistake of the server."""
    method, path = key
    world = still if method == "GET" else worlds.make(nobody, FURNISH) if method == "DELETE" else changing
    operation = document[path][method]
    headers = {"authorization": f"Bearer {world.people['owner'].token}"}

    @seed(20_261_120)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), is_real=st.booleans())
    @settings(
        max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        database=None,
    )  # fmt: skip
    def ask(case: Any, is_real: bool) -> None:
        if is_real:
            case.path_parameters = {name: world.ids.get(name, value) for name, value in case.path_parameters.items()}
        response = case.call(base_url=server.url, headers=headers, timeout=60)
        case.validate_response(response, checks=CHECKS)

    ask()
