"""The routes: which question or change an address means, and how its answer is sent."""

from collections.abc import Callable
from http import HTTPStatus
import secrets
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from runicorn_es.errors import Rejected, RunicornError
from runicorn_es.queries import Lineage, Node
from runicorn_es.store import Store
from runicorn_es.viewer import legacy, openapi
from runicorn_es.viewer.answers.catalog import OverviewAsked
from runicorn_es.viewer.answers.events import RecordLine
from runicorn_es.viewer.answers.files import FileAsked
from runicorn_es.viewer.answers.versions import VersionAsked, version
from runicorn_es.viewer.asking import Problem, asked, near_names, problem
from runicorn_es.viewer.changes import CHANGES, Form, carry_out, form_of, shown
from runicorn_es.viewer.desk import Desk
from runicorn_es.viewer.guard import CHANGE_TOKEN, Guard, Policy, is_same
from runicorn_es.viewer.lineage import draw
from runicorn_es.viewer.showing import Links, Templates
from runicorn_es.viewer.streams import Tail, archive, download, image
from runicorn_es.viewer.table import QUESTIONS, Question

_JSON = "application/json"
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
_FAILURES = (RunicornError, OSError, IndexError)


class Viewer:
    """The application for one store. ``tail``: those who follow its log."""

    def __init__(self, store: Store, policy: Policy, *, is_read_only: bool = False) -> None:
        self.desk = Desk(store, is_read_only=is_read_only)
        self._policy = policy
        self._templates = Templates()
        # In every form of ours, and in nobody else's.
        self._change_token = secrets.token_urlsafe(32)
        self._openapi = openapi.document(policy.root_path)
        self.tail = Tail(self.desk, self._event_row)

    def asgi(self) -> ASGIApp:
        """Return the application behind its guard."""
        handlers: dict[Any, Callable[..., Any]] = dict.fromkeys((HTTPException, *_FAILURES), self._failed)
        return Guard(Starlette(routes=self._routes(), exception_handlers=handlers), self._policy)

    def _routes(self) -> list[BaseRoute]:
        version = "/artifacts/{name}/v{version:int}"
        routes: list[BaseRoute] = [
            Route("/", self._home),
            Route("/static/{asset}", self._static),
            Route("/events/stream", self._stream),
            Route(f"{version}/download", self._download),
            Route(f"{version}/image", self._image),
            Route(f"{version}/zip", self._archive),
            Route("/change/{verb}", self._form, methods=["GET"]),
            Route("/change/{verb}", self._change, methods=["POST"]),
            Route("/audit", self._verify, methods=["POST"]),
            Route("/storage", self._look_for_garbage, methods=["POST"]),
            Route("/api/v1/openapi.json", self._described),
        ]
        for question in QUESTIONS:
            routes.append(Route(f"/api/v1{question.path}", self._answering(question.asked, question.ask)))
            if question.template is not None:
                routes.append(Route(question.page or question.path, self._showing(question)))
        routes += [Route(path, self._answering(kind, ask)) for path, (kind, ask) in legacy.ADDRESSES.items()]
        return routes

    def _answering(
        self, kind: type[msgspec.Struct], ask: Callable[[Desk, Any], object]
    ) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            found = ask(self.desk, asked(request, kind))
            return Response(msgspec.json.encode(found), media_type=_JSON)

        return answer

    def _showing(self, question: Question) -> Callable[[Request], Response]:
        def show(request: Request) -> Response:
            wanted = asked(request, question.asked)
            found = question.ask(self.desk, wanted)
            more: dict[str, Any] = {}
            if isinstance(found, Lineage):
                more["drawing"] = self._drawing(request, found, wanted)
            return self._page(request, question.template or "", answer=found, asked=wanted, **more)

        return show

    def _drawing(self, request: Request, found: Lineage, wanted: Any) -> object:
        to = self._links(request)

        def link(node: Node) -> str:
            if node.kind == "run":
                return to("runs", node.id)
            name, _, number = node.id.rpartition(":v")
            return to.version(name, int(number), "lineage", depth=wanted.depth, direction=wanted.direction)

        everything = to.version(
            wanted.name, wanted.version, "lineage", depth=wanted.depth, direction=wanted.direction, siblings="true"
        )
        return draw(found, link=link, all_siblings=everything, is_clustered=not wanted.siblings)

    def _page(self, request: Request, template: str, status: int = 200, **names: object) -> Response:
        done = CHANGES.get(request.query_params.get("done", ""))
        content = self._templates.page(
            template,
            self._links(request),
            as_of=request.query_params.get("as_of") or None,
            path=request.url.path,
            store=self.desk.store.layout.root,
            is_read_only=self.desk.is_read_only,
            change_token=self._change_token,
            done=done.done if done and request.method == "GET" else None,
            head=self.desk.head(),
            query=dict(request.query_params),
            verbs=CHANGES,
            **names,
        )
        return HTMLResponse(content, status)

    def _links(self, request: Request) -> Links:
        return Links(self._policy.root_path, request.query_params.get("as_of") or None)

    def _home(self, request: Request) -> Response:
        return RedirectResponse(self._links(request)("artifacts"), 307)

    def _static(self, request: Request) -> Response:
        found = self._templates.assets.get(request.path_params["asset"])
        if found is None:
            raise HTTPException(404)
        return Response(found.content, headers=_FOR_EVER, media_type=found.type)

    def _described(self, _: Request) -> Response:
        return Response(self._openapi, media_type=_JSON)

    def _download(self, request: Request) -> Response:
        return download(self.desk, asked(request, FileAsked), span=request.headers.get("range"))

    def _image(self, request: Request) -> Response:
        return image(self.desk, asked(request, FileAsked))

    def _archive(self, request: Request) -> Response:
        return archive(self.desk, asked(request, VersionAsked))

    def _stream(self, request: Request) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        if last and not last.removeprefix("-").isdecimal():
            raise Rejected(f"after must be the index of a record, not {last[:40]!r}")
        return self.tail.follow(request, min(int(last), 1 << 53) if last else self.desk.head() - 1)

    def _event_row(self, line: RecordLine) -> str:
        return self._templates.page("event_row.html", Links(self._policy.root_path), line=line)

    def _form(self, request: Request) -> Response:
        verb = self._verb(request)
        form = shown(verb, dict(request.query_params))
        if verb == "describe" and form.version is not None:
            known = version(self.desk, VersionAsked(form.name, form.version)).about
            form.values["text"] = known.description or ""
        return self._page(request, "change.html", form=form, change=CHANGES[verb])

    async def _change(self, request: Request) -> Response:
        form = form_of(await request.body())
        return await run_in_threadpool(self._changed, request, form)

    def _changed(self, request: Request, form: Form) -> Response:
        self._require_token(request, form)
        verb = self._verb(request)
        try:
            carry_out(self.desk.store, verb, form)
        except RunicornError as error:
            said = problem(error)
            again = shown(verb, form, said.message)
            return self._page(request, "change.html", said.status, form=again, change=CHANGES[verb])
        reference = shown(verb, form)
        return RedirectResponse(
            Links(self._policy.root_path)("artifacts", reference.name, f"v{reference.version}", done=verb), 303
        )

    async def _verify(self, request: Request) -> Response:
        self._require_token(request, form_of(await request.body()))
        self.desk.verifying.start()
        return RedirectResponse(self._links(request)("audit"), 303)

    async def _look_for_garbage(self, request: Request) -> Response:
        self._require_token(request, form_of(await request.body()))
        self.desk.reclaiming.start()
        return RedirectResponse(self._links(request)("storage"), 303)

    def _verb(self, request: Request) -> str:
        verb = str(request.path_params["verb"])
        if verb not in CHANGES:
            raise HTTPException(404)
        if self.desk.is_read_only:
            raise HTTPException(403, "This viewer is read-only: it was started with --read-only, or may not write.")
        return verb

    def _require_token(self, request: Request, form: Form) -> None:
        given = request.headers.get(CHANGE_TOKEN) or form.get("token", "")
        if not is_same(given, self._change_token):
            raise HTTPException(403, "The form is from an earlier start of this viewer; load the page again.")

    async def _failed(self, request: Request, error: Exception) -> Response:
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        if isinstance(error, HTTPException):
            words = HTTPStatus(error.status_code).phrase
            message = error.detail if error.detail != words else f"{words}: {request.url.path}"
            said = Problem(error.status_code, words.replace(" ", ""), message)
        else:
            said = problem(error)
        if said.status == 503:
            headers["retry-after"] = "5"
        if request.url.path.startswith("/api/"):
            return Response(msgspec.json.encode(said), said.status, headers, media_type=_JSON)
        answer = await run_in_threadpool(self._error_page, request, said)
        answer.headers.update(headers)
        return answer

    def _error_page(self, request: Request, said: Problem) -> Response:
        parts = request.url.path.split("/")
        near: list[str] = []
        if said.status == 404 and len(parts) > 2 and parts[1] == "artifacts":
            near = near_names(self.desk, str(request.path_params.get("name", parts[2])))
        return self._page(request, "error.html", said.status, problem=said, near=near, asked=OverviewAsked())
