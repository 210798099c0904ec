"""`ChatServer`: short replies from a server that speaks the OpenAI chat protocol (llama.cpp, vLLM, Ollama, OpenAI, ...).

The `openai` client handles retries, back-off, rate limits and timeouts.  Servers accept different settings, so a setting that
a server refuses is dropped or adapted once.  Every failure becomes a one-sentence error.  Knows no question and no selector.

The key in OPENAI_API_KEY is sent only to openai.com, to this machine, and to exactly the origin of OPENAI_BASE_URL, so that no
address from a link or a form can obtain it; to another machine only over https.  No redirect is followed, with texts or without.
A server may send what it likes: of a reply only so many bytes are taken, as they come, and only for so long.
"""

from __future__ import annotations

import math
import os
import queue
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fishersft.errors import MissingExtra, ModelError, ParameterError, ServerDown

ONE_WORD: Mapping[str, Any] = {"temperature": 0, "max_tokens": 8, "logprobs": True, "top_logprobs": 20}
THINKING = 2_048  # tokens for models that require max_completion_tokens, which includes their reasoning
OPENAI = "https://api.openai.com/v1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # names of this machine for itself
NO_KEY = "none"  # the client requires a key; servers without keys ignore it
ACKNOWLEDGED = "Understood. Send me the object."  # the model's turn between a task and its object
SCHEMA = re.compile(r"response_format|json.?schema|grammar", re.I)
SENT = frozenset(  # headers that a server gets which is not trusted with the key
    ("accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "user-agent")
)
LONGEST_REPLY = 10_000_000  # bytes, far more than any reply with its probabilities
BETWEEN_TRIES = 60.0  # seconds that the client waits before it tries again, at most
LAST_WAIT = 5.0  # seconds that pending replies get after one has failed


@dataclass(frozen=True)
class Position:
    """One token of a reply, and the probabilities of its alternatives as far as the server reports them."""

    token: str
    likely: Mapping[str, float]


@dataclass(frozen=True)
class Reply:
    """A server's answer."""

    text: str  # the message; "" if there is none
    refused: bool = False  # the model or a content filter declined, and the protocol's own field says so
    positions: tuple[Position, ...] = ()  # the first tokens with probabilities; empty if the server gives none
    cut_off: bool = False  # the reply reached the limit of tokens
    too_long: bool = False  # the question exceeded the context, so there is no answer
    tokens_in: int = 0  # as counted by the server; 0 if it does not report them
    tokens_out: int = 0


@dataclass(frozen=True)
class Request:
    """A user's message, with a system message before it ("" for none) and the JSON schema of its answer (None for free text)."""

    user: str
    system: str = ""
    schema: Mapping[str, Any] | None = None


def check_base_url(base_url: str) -> str:
    """The address without a trailing slash; ParameterError unless it has the form http(s)://host[:port]/path."""
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ParameterError(f"base_url must be a server's address such as http://127.0.0.1:8080/v1, not '{base_url[:100]}'.")
    if parts.username is not None or parts.password is not None:
        raise ParameterError("base_url must not contain a name or password, since it is saved; put the key into OPENAI_API_KEY.")
    return base_url.rstrip("/")


def needs_key(base_url: str) -> bool:
    """Whether the server is openai.com, which requires a key, and the environment has none."""
    host = urlsplit(check_base_url(base_url)).hostname or ""
    return (host == "openai.com" or host.endswith(".openai.com")) and key_for(base_url) == NO_KEY


def key_for(base_url: str) -> str:
    """The key from the environment if it may be sent to this server, otherwise NO_KEY."""
    scheme, host, port = _origin(base_url)
    ours = host == "openai.com" or host.endswith(".openai.com")
    named = _origin(os.environ.get("OPENAI_BASE_URL", "")) == (scheme, host, port)
    trusted = host in LOOPBACK or (scheme == "https" and (named or (ours and port == 443)))
    return (os.environ.get("OPENAI_API_KEY") or NO_KEY) if trusted else NO_KEY


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None


def _without_secrets(request: Any) -> None:
    """Leave out of a request what the environment adds to every one: organisation, project, headers with keys of their own."""
    for name in {name for name in request.headers if name not in SENT and not name.startswith("x-stainless-")}:
        del request.headers[name]


class ChatServer:
    """A model on a server.

    Args:
        base_url: the address up to and including /v1; ParameterError if it is not an address.
        retries: attempts after a lost connection, a timeout, 408, 409, 429 or 5xx, with exponential back-off.
        seconds: timeout of one reply.
        parallel: the number of simultaneous requests.
        settings: of each request.
        skip_too_long: a question that exceeds the context gets a `too_long` reply instead of raising an error.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        retries: int = 5,
        seconds: float = 60.0,
        parallel: int = 8,
        settings: Mapping[str, Any] = ONE_WORD,
        skip_too_long: bool = False,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtra("Asking a server", "llm") from error
        self._library: Any = openai  # an optional library, so this module does not import it
        self.base_url, self.model, self.parallel = check_base_url(base_url), model, parallel
        key, host = key_for(self.base_url), _origin(self.base_url)[1]
        asking = [_without_secrets] if key == NO_KEY else []
        self._client = openai.OpenAI(
            api_key=key,
            base_url=self.base_url,
            max_retries=retries,
            timeout=openai.Timeout(seconds, connect=min(10.0, seconds)),
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False,
                headers={"Accept-Encoding": "identity"},  # a few bytes may unpack to gigabytes
                trust_env=host not in LOOPBACK,  # what goes to this machine goes through no proxy
                event_hooks={"request": asking, "response": [partial(_take, seconds=seconds, late=openai.APITimeoutError)]},
            ),
        )
        self._patience = (retries + 1) * (2 * seconds + BETWEEN_TRIES)  # without any reply
        self._settings: dict[str, Any] = dict(settings)
        self._takes = {"schema": True, "system": True}  # until the server refuses one
        self._skip_too_long = skip_too_long

    def replies(self, prompts: Iterable[str | Request]) -> Iterator[tuple[int, Reply]]:
        """(number of the prompt, its reply), as the replies arrive; after a failure, pending replies, then a ModelError."""
        todo, taking = iter(enumerate(prompts)), threading.Lock()
        results: queue.SimpleQueue[tuple[int, Reply | BaseException] | None] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                with taking:
                    job = next(todo, None)
                if job is None:
                    break
                try:
                    results.put((job[0], self.reply(job[1])))
                except BaseException as error:
                    results.put((job[0], error))
                    break
            results.put(None)

        # Daemon threads, since a reply that never arrives must not keep an interrupted command from ending.
        working = self.parallel
        for _ in range(working):
            threading.Thread(target=work, daemon=True).start()
        failure: BaseException | None = None
        waited = 0.0
        try:
            while working and (failure is None or waited < LAST_WAIT):
                try:
                    result = results.get(timeout=0.5)  # short, so that Ctrl-C works on every system
                except queue.Empty:
                    waited += 0.5
                    if failure is None and waited > self._patience:  # each byte of a header may come just in time
                        failure = ServerDown(self._late)
                        break
                    continue
                waited = 0.0
                if result is None:
                    working -= 1
                elif isinstance(result[1], Reply):
                    yield result[0], result[1]
                else:
                    failure = failure or result[1]
                    stop.set()
        finally:
            stop.set()
        if failure is not None:
            raise failure

    def reply(self, prompt: str | Request) -> Reply:
        """The model's reply to one user message; ModelError if there is none, ServerDown if the server may answer later."""
        openai, request = self._library, Request(prompt) if isinstance(prompt, str) else prompt
        while True:
            settings, takes = self._settings, dict(self._takes)
            messages: Any = messages_of(request, system=takes["system"])
            more = dict(settings)
            if request.schema and takes["schema"]:
                schema = {"name": "answer", "strict": True, "schema": request.schema}
                more["response_format"] = {"type": "json_schema", "json_schema": schema}
            try:
                answer: Any = self._client.chat.completions.create(model=self.model, messages=messages, **more)
                return _read(answer)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code in ("content_filter", "content_policy_violation") or "content management policy" in str(error):
                    return Reply("", refused=True)
                if self._skip_too_long and _too_long(error):
                    return Reply("", too_long=True)
                fitted = _fitted(settings, error)
                if fitted != settings:
                    self._settings = fitted
                    continue
                refused = "system" if request.system and takes["system"] and "system" in str(error).lower() else "schema"
                if (refused == "schema" and "response_format" not in more) or _too_long(error):
                    raise ModelError(self._sentence(error)) from error
                self._takes[refused] = False
            except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
                if "response_format" in more and SCHEMA.search(str(error)):  # some servers fail where they should refuse
                    self._takes["schema"] = False
                    continue
                raise ServerDown(self._sentence(error)) from error
            except (openai.OpenAIError, AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
                raise ModelError(self._sentence(error)) from error

    @property
    def _late(self) -> str:
        said = "did not answer in time; check that it is running, then run the same command again to continue."
        return f"The server at {self.base_url} {said}"

    def _sentence(self, error: Exception) -> str:
        openai = self._library
        where = f"The server at {self.base_url}"
        match error:
            case openai.APITimeoutError() | openai.APIConnectionError(__cause__=openai.APITimeoutError()):
                return self._late
            case openai.APIConnectionError():
                return (
                    f"{where} could not be reached; check that it is running and that base_url is right, then run the same "
                    "command again to continue."
                )
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return (
                    f"{where} requires a valid key ({error.status_code}): put it into OPENAI_API_KEY; the key is sent only to "
                    "openai.com, to this machine and, over https, to the server named by OPENAI_BASE_URL."
                )
            case openai.APIStatusError() if 300 <= error.status_code < 400:
                return f"{where} sends requests to another address ({error.status_code}), which is not followed; name that one."
            case openai.NotFoundError():
                return f"{where} has no model '{self.model}' (404); check the name and base_url, which often ends in /v1."
            case openai.RateLimitError():
                return f"{where} reports too many requests or a used-up quota (429); run the same command again later."
            case openai.APIStatusError() if _too_long(error):
                return f"{where} reports that a text is too long for '{self.model}'; lower most_characters."
            case openai.APIStatusError():
                said = " ".join(str(error.message).split())[:200]
                return f"{where} answered with an error ({error.status_code}: {said}); run the same command again to continue."
            case _:
                return f"{where} does not answer like an OpenAI chat server; check base_url, which often ends in /v1."


def _take(response: Any, seconds: float, late: Callable[..., Exception]) -> None:
    """Take the body of a reply, uncompressed: its first bytes; `late` is raised where they do not come in time."""
    pieces, size, until = [], 0, time.monotonic() + seconds
    for piece in response.stream:
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_REPLY:  # cut off, it is no JSON
            break
        if time.monotonic() > until:
            raise late(request=response.request)
    response.stream.close()
    response.headers.pop("Content-Encoding", None)  # nobody asked for any
    response.stream = type(response)(response.status_code, content=b"".join(pieces)[:LONGEST_REPLY]).stream


def messages_of(request: Request, *, system: bool) -> list[dict[str, str]]:
    """A chat that ends with the user's message; for a template without a system role, an earlier turn holds the task."""
    before: list[dict[str, str]] = []
    if request.system and system:
        before = [{"role": "system", "content": request.system}]
    elif request.system:
        before = [{"role": "user", "content": request.system}, {"role": "assistant", "content": ACKNOWLEDGED}]
    return [*before, {"role": "user", "content": request.user}]


def _too_long(error: Any) -> bool:
    return "context length" in str(error) or "context size" in str(error) or error.code == "context_length_exceeded"


def _fitted(settings: Mapping[str, Any], error: Any) -> dict[str, Any]:
    """The settings without those that the server refuses; unchanged if the error is about something else."""
    out, said = dict(settings), f"{error.param or ''} {error}"
    if "context length" in said:
        return out
    if "logprobs" in said and out.get("top_logprobs") == 20 and "top_logprobs" in said:
        out["top_logprobs"] = 5  # some servers give fewer
    elif "logprobs" in said and "logprobs" in out:
        del out["logprobs"], out["top_logprobs"]
    elif "max_tokens" in said and "max_tokens" in out:
        del out["max_tokens"]
        out["max_completion_tokens"] = THINKING
    elif "temperature" in said:
        out.pop("temperature", None)
    return out


def _read(answer: Any) -> Reply:
    """A completion as a `Reply`; AttributeError or TypeError if it is not a completion."""
    if len(answer.choices) == 0:
        return Reply("")
    choice = answer.choices[0]
    refused = bool(getattr(choice.message, "refusal", None)) or choice.finish_reason == "content_filter"
    positions = []
    for token in getattr(getattr(choice, "logprobs", None), "content", None) or []:
        likely: dict[str, float] = defaultdict(float)
        for one in token.top_logprobs or []:
            if isinstance(one.token, str) and isinstance(one.logprob, int | float) and not math.isnan(one.logprob):
                likely[one.token] += math.exp(min(0.0, one.logprob))
        positions.append(Position(str(token.token), likely))
    usage = getattr(answer, "usage", None)
    counts = (getattr(usage, name, 0) for name in ("prompt_tokens", "completion_tokens"))
    tokens_in, tokens_out = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    text = str(choice.message.content or "")
    return Reply(text, refused, tuple(positions), choice.finish_reason == "length", tokens_in=tokens_in, tokens_out=tokens_out)
