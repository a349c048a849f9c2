"""Routes that say who may come in. One that is declared nowhere is closed to everyone."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from bot.access import Principal, Scope

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})  # they change nothing

_FOR_PROGRAMS: Final = ("/api/", "/health/", "/metrics")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method at one path. `needs` is the scope that whoever comes must have; None lets everyone in.

    `steps_up` asks for password and second factor within the last minutes (S15). Tokens open what is made for
    programs, and where `programs` says so; never what steps up. What `is_urgent` waits for no other page.
    """

    method: str
    path: str
    handler: Handler
    needs: Scope | None
    steps_up: bool = False
    name: str | None = None
    streams: bool = False
    programs: bool = False
    is_urgent: bool = False

    @property
    def opens_to_tokens(self) -> bool:
        """Whether a program may come in, if it has the scope."""
        return (self.programs or self.path.startswith(_FOR_PROGRAMS)) and not self.steps_up


def get(
    path: str,
    handler: Handler,
    *,
    needs: Scope | None = Scope.READ,
    name: str | None = None,
    streams: bool = False,
    programs: bool = False,
    is_urgent: bool = False,
) -> Route:
    """Something to look at; one that `streams` answers no HEAD."""
    return Route(
        method="GET",
        path=path,
        handler=handler,
        needs=needs,
        name=name,
        streams=streams,
        programs=programs,
        is_urgent=is_urgent,
    )


def post(path: str, handler: Handler, *, needs: Scope | None, steps_up: bool = False, programs: bool = False) -> Route:
    """An act."""
    return Route(method="POST", path=path, handler=handler, needs=needs, steps_up=steps_up, programs=programs)


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Put them into the application, and into the table that the middleware asks."""
    declared = {}
    for each in routes:
        if each.method == "GET":
            route = app.router.add_get(each.path, each.handler, name=each.name, allow_head=not each.streams)
        else:
            route = app.router.add_route(each.method, each.path, each.handler, name=each.name)
        if route.resource is None:
            raise RuntimeError(f"{each.method} {each.path} has no resource")
        declared[(each.method, route.resource.canonical)] = each
    app[DECLARED] = declared


def route_of(request: web.Request) -> Route | None:
    """What was declared for this request; None if nothing was."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = "GET" if request.method == "HEAD" else request.method
    return request.app[DECLARED].get((method, resource.canonical))


DECLARED: Final = web.AppKey("declared", Mapping[tuple[str, str], Route])
PRINCIPAL: Final = web.RequestKey("principal", Principal)  # there only if somebody was recognised
