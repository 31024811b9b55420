"""Which methods an address has: several routes may share it, and the header Allow must name them all."""

from __future__ import annotations

from fastapi import Request
from starlette.routing import Match


def allowed_methods(request: Request) -> list[str]:
    """The methods of all routes whose path is that of the request, sorted."""
    methods: set[str] = set()
    for route in (route for router in request.app.state.routers for route in router.routes):
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    return sorted(methods)
