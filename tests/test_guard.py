"""What the server refuses before a page runs: foreign names, metrics of a hosted demo, and more files than it has room for."""

import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from fishersft.ui import guard

from .browsing import serving
from .conftest import ROOT

pytestmark = pytest.mark.slow
BOUNDARY = "between-the-parts"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("home"), FISHERSFT_PUBLIC="1") as address:
        yield address


def answer(address, path, method="GET", data=None, **headers):
    asked = urllib.request.Request(address + path, data, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as found:
            return found.status, found.headers, found.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@contextmanager
def visiting(address):
    """What the browser of a new visitor is told first."""
    ask = BackMsg()
    ask.rerun_script.query_string = ""
    with connect(f"{address.replace('http', 'ws')}/_stcore/stream", origin=address, max_size=None) as line:
        line.send(ask.SerializeToString())
        while not (said := ForwardMsg.FromString(line.recv(60))).HasField("new_session"):
            pass
        yield said.new_session


@pytest.mark.parametrize("path", ["/", "/compare", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/media/x.csv"])
def test_no_path_answers_under_a_foreign_name(demo, path):
    assert answer(demo, path, Host="evil.example")[0] == 400
    assert answer(demo, path, Host=f"evil.example:{urlsplit(demo).port}")[0] == 400
    assert answer(demo, path)[0] == (404 if path in ("/_stcore/metrics", "/media/x.csv") else 200)


def test_a_browser_is_not_told_where_the_dashboard_is_installed(demo):
    with visiting(demo) as told:
        pass
    assert told.main_script_path == "app.py"
    assert str(ROOT) not in str(told)


def test_ones_own_dashboard_has_metrics_and_is_as_silent_about_its_folder(tmp_path):
    with serving(tmp_path) as address:
        assert answer(address, "/_stcore/metrics")[0] == 200
        test_a_browser_is_not_told_where_the_dashboard_is_installed(address)


def test_a_visitor_of_a_hosted_demo_sends_as_much_as_it_keeps_and_the_next_one_too(demo):
    token = answer(demo, "/_stcore/health")[1]["Set-Cookie"].partition("=")[2].partition(";")[0]
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'.encode()
    body = part + b"x" * (9 * guard.MB) + f"\r\n--{BOUNDARY}--\r\n".encode()

    def send(visitor):
        told = {
            "Cookie": f"_streamlit_xsrf={token}",
            "X_Xsrftoken": token,
            "Content_Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        status, _, said = answer(demo, f"/_stcore/upload_file/{visitor.initialize.session_id}/{uuid4()}", "PUT", body, **told)
        return status, said.decode()

    with visiting(demo) as one, visiting(demo) as other:
        assert [send(one)[0] for _ in range(3)] == [204] * 3
        assert send(one) == (413, "This demo keeps at most 30 MB of a visitor's files, and 500 MB in all.")
        assert send(other)[0] == 204
