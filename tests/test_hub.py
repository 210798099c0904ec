"""Hub ids, against a server on 127.0.0.1 that speaks as much of the hub's protocol as a download needs."""

import hashlib
import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
from urllib.parse import unquote, urlsplit

import pytest

from fishersft.lm.folder import find_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path):
    """Serves folders as `local/<name>`; (environment for a child process, folders by name, paths asked for)."""
    folders, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body=b"", status=200, **headers):
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            asked.append(path)
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in folders:
                folder = folders["/".join(parts[2:4])]
                files = sorted(folder.iterdir())
                if "tree" in parts:
                    tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40} for f in files]
                    return self.answer(json.dumps(tree).encode(), Content_Type="application/json")
                about = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]}
                return self.answer(json.dumps(about).encode(), Content_Type="application/json")
            if len(parts) == 5 and parts[2] == "resolve" and "/".join(parts[:2]) in folders:
                file = folders["/".join(parts[:2])] / parts[4]
                if file.is_file():
                    body = file.read_bytes()
                    return self.answer(body, ETag=f'"{hashlib.sha256(body).hexdigest()}"')
            return self.answer(
                b'{"error": "Repository not found"}', 404, X_Error_Code="RepoNotFound", X_Error_Message="not found"
            )

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }
    env.pop("HF_HUB_OFFLINE", None)
    yield env, folders, asked
    server.shutdown()
    server.server_close()


def child(code, env):
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=400, check=False)


def test_a_hub_model_is_fetched_with_its_revision_and_is_the_same_model(hub):
    env, folders, asked = hub
    folders["local/mini"] = find_model("mini").path
    code = "from fishersft.lm.folder import find_model; f = find_model('local/mini'); print(f.revision, f.fingerprint)"
    done = child(code, env)
    assert done.stdout.split() == [COMMIT, find_model("mini").fingerprint], done.stderr
    assert not [a for a in asked if a.endswith(".py")]
    again = child(code, {**env, "HF_HUB_OFFLINE": "1"})
    assert again.stdout == done.stdout


def test_remote_code_is_refused_before_a_weight_is_fetched(hub, tmp_path):
    env, folders, asked = hub
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    folders["local/evil"] = folder
    done = subprocess.run(
        [sys.executable, "-m", "fishersft", "embed", "demo", "--model", "local/evil"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "asks to run code of its own" in done.stderr
    assert not [a for a in asked if a.endswith((".safetensors", ".py"))]


def test_pickled_weights_on_the_hub_are_named_and_not_fetched(hub, tmp_path):
    env, folders, asked = hub
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    folders["local/old"] = folder
    done = child("import fishersft\ntry: fishersft.load_model('local/old')\nexcept fishersft.UserError as e: print(e)", env)
    assert "no safetensors weights" in done.stdout
    assert not [a for a in asked if a.endswith(".bin")]


def test_a_name_the_hub_does_not_know_gets_a_sentence(hub):
    env, _, _ = hub
    done = child("import fishersft\ntry: fishersft.load_model('local/nothing')\nexcept fishersft.UserError as e: print(e)", env)
    assert "The hub has no model local/nothing" in done.stdout, done.stderr
