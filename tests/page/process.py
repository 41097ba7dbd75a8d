"""`inference-worker ui` as a process, and somebody who asks it what a browser would."""

import http.client
import re
import subprocess
from urllib.parse import urlencode


class Ui:
    """The process, the port that it told, and its token."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        said: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "no token" in line or re.fullmatch(r"    \S{30,}\n", line):
                break
        self.said = "".join(said)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.said)
        assert found is not None, self.said
        self.port = int(found[1])
        token = re.search(r"^    (\S+)$", self.said, re.MULTILINE)
        self.token = token[1] if token else ""
        self.cookie = ""
        self.location = ""  # where the last answer leads

    def ask(self, method: str, path: str, **fields: str) -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {
            "Cookie": self.cookie,
            "Origin": f"http://127.0.0.1:{self.port}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        line.request(method, path, urlencode(fields) if fields else None, headers)
        answer = line.getresponse()
        self.cookie = (answer.getheader("Set-Cookie") or self.cookie).partition(";")[0]
        self.location = answer.getheader("Location") or ""
        text = answer.read().decode()
        line.close()
        return answer.status, text

    def sign_in(self) -> None:
        status, text = self.ask("POST", "/sign-in", token=self.token, next="/")
        assert status == 303, text

    def act(self, path: str, *, seen: str, **fields: str) -> tuple[int, str]:
        """Send the form of a screen that was seen, signed."""
        _, screen = self.ask("GET", seen)
        hidden = dict(re.findall(r'name="(csrf|at)" value="([^"]+)"', screen))
        return self.ask("POST", path, **hidden, author="alice", **fields)
